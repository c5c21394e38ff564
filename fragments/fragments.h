/* The face of fragments/: everything that other folders may use of it. */
#ifndef FRAGMENTS_FRAGMENTS_H
#define FRAGMENTS_FRAGMENTS_H

#include "fragments/archive.h"  /* reading back what is stored */
#include "fragments/fragment.h" /* numbers, gaps, fragments and their states */
#include "fragments/inspect.h"  /* looking into and rewriting Matroska files */
#include "fragments/matroska.h" /* parser, sample reader, writer */
#include "fragments/nal.h"      /* H.264 and H.265 framing and parameter sets */
#include "fragments/records.h"  /* results and thumbnails, in streams of their own */
#include "fragments/report.h"   /* what commands print about a store */
#include "fragments/store.h"    /* streams on disk */
#include "fragments/tail.h"     /* the live end of a stream */
#include "fragments/upkeep.h"   /* gaps, holds, retention, check, rebuild */
#include "fragments/writer.h"   /* recording */

#endif
