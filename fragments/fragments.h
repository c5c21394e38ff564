/* The face of fragments/: everything that other folders may use of it. */
#ifndef FRAGMENTS_FRAGMENTS_H
#define FRAGMENTS_FRAGMENTS_H

#include "fragments/fragment.h" /* numbers, gaps, fragments and their states */
#include "fragments/inspect.h"  /* looking into and rewriting Matroska files */
#include "fragments/matroska.h" /* parser, sample reader, writer */
#include "fragments/nal.h"      /* H.264 and H.265 framing and parameter sets */
#include "fragments/tail.h"     /* the live end of a stream */

#endif
