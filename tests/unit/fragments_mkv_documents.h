/* Documents that the parser must refuse, each for one reason, and some that it must take; in the
 * language of tests/support/ebml_build.h. `!` marks the element that the error must name. */
#ifndef TESTS_UNIT_FRAGMENTS_MKV_DOCUMENTS_H
#define TESTS_UNIT_FRAGMENTS_MKV_DOCUMENTS_H

#include "base/error.h"
#include "fragments/matroska.h"

#define DOC_EBML "EBML{DocType='matroska'} "
#define DOC_VIDEO "Entry{Number=1 TrackUID=11 Type=1 Codec='V_VP8'} "
#define DOC_AUDIO "Entry{Number=2 Type=2 Codec='A_OPUS' DefaultDuration=20000000} "
#define DOC_TRACKS "Tracks{" DOC_VIDEO DOC_AUDIO "} "
#define DOC_INFO "Info{Scale=1000000 Title='t'} "
/* Everything before the first cluster; the Segment's brace stays open. */
#define DOC_HEAD DOC_EBML "Segment:8?{" DOC_INFO DOC_TRACKS
#define DOC_FRAME "Simple<81 0000 80 'frame'> "
#define DOC_CLUSTER "Cluster{Time=1 " DOC_FRAME "} "

struct mkv_refused {
    const char *name;
    const char *text;
    enum frag_mkv_fault fault;
    const char *says;        /* stands in the error's text */
    uint64_t offset_if_none; /* where nothing is marked: the error's offset */
};

static const struct mkv_refused mkv_refused[] = {
    /* ---- no Matroska ---- */
    {"no EBML header", "!Segment{}", FRAG_MKV_NOT_MATROSKA, "no EBML header", 0},
    {"Void first", "!Void{} " DOC_EBML, FRAG_MKV_NOT_MATROSKA, "no EBML header", 0},
    {"another document type", "!EBML{DocType='avi'} Segment{}", FRAG_MKV_NOT_MATROSKA, "\"avi\"",
     0},
    {"no document type", "!EBML{} Segment{}", FRAG_MKV_NOT_MATROSKA, "\"\"", 0},
    {"a longer document type", "!EBML{DocType='matroskamatroska'}", FRAG_MKV_NOT_MATROSKA, "type",
     0},
    {"DocTypeReadVersion 5", "!EBML{DocType='webm' DocTypeReadVersion=5}", FRAG_MKV_NOT_MATROSKA,
     "newer", 0},
    {"EBMLReadVersion 2", "!EBML{DocType='webm' EBMLReadVersion=2}", FRAG_MKV_NOT_MATROSKA, "newer",
     0},
    {"EBMLMaxIDLength 5", "!EBML{DocType='webm' EBMLMaxIDLength=5}", FRAG_MKV_NOT_MATROSKA, "newer",
     0},
    {"EBMLMaxSizeLength 9", "!EBML{DocType='webm' EBMLMaxSizeLength=9}", FRAG_MKV_NOT_MATROSKA,
     "newer", 0},
    {"no bytes", "", FRAG_MKV_NOT_MATROSKA, "no bytes", 0},
    /* ---- ids and sizes ---- */
    {"text", "!<'GET / HTTP/1.1'>", FRAG_MKV_NOT_MATROSKA, "no EBML header", 0},
    {"zeros", "!<00*16>", FRAG_MKV_NOT_MATROSKA, "no EBML header", 0},
    {"an id of 5 bytes", DOC_HEAD "!<08 11 22 33 44 81 00>}", FRAG_MKV_BAD_ELEMENT, "no valid", 0},
    {"a size of 9 bytes", DOC_HEAD "!<EC 00 80 80 80 80 80 80 80>}", FRAG_MKV_BAD_ELEMENT,
     "no valid", 0},
    {"no id in a cluster", DOC_HEAD "Cluster{Time=1 !<01 81 00>}}", FRAG_MKV_BAD_ELEMENT,
     "no valid", 0},
    {"no id in Tags", DOC_HEAD "Tags{Tag{!<00>}}}", FRAG_MKV_BAD_ELEMENT, "no valid", 0},
    {"not the Segment", DOC_EBML "!Cluster{Time=1}", FRAG_MKV_BAD_ELEMENT,
     "Cluster (id 1F43B675) where the Segment", 0},
    {"a second EBML header before the Segment", DOC_EBML "!" DOC_EBML, FRAG_MKV_BAD_ELEMENT,
     "where the Segment", 0},
    {"an unknown id behind the Segment", DOC_EBML "Segment{} !#4DBB{}", FRAG_MKV_BAD_ELEMENT,
     "where the Segment", 0},
    {"a Cluster in Tags", DOC_HEAD "Tags{!Cluster{}}}", FRAG_MKV_BAD_ELEMENT, "Cluster inside Tags",
     0},
    {"a Cluster in a known Cluster", DOC_HEAD "Cluster{Time=1 !Cluster{Time=2}}}",
     FRAG_MKV_BAD_ELEMENT, "Cluster inside Cluster", 0},
    {"Tags in a BlockGroup", DOC_HEAD "Cluster:?{Time=1 Group{!Tags{}}}}", FRAG_MKV_BAD_ELEMENT,
     "Tags inside BlockGroup", 0},
    {"EBML in Tracks", DOC_EBML "Segment:?{Tracks{!EBML{}}}", FRAG_MKV_BAD_ELEMENT,
     "EBML inside Tracks", 0},
    {"a Duration of 3 bytes", DOC_EBML "Segment:?{Info{!Duration<000000>}}", FRAG_MKV_BAD_ELEMENT,
     "Duration", 0},
    {"a SamplingFrequency of 2 bytes", DOC_EBML "Segment:?{Tracks{Entry{Audio{!Rate<0000>}}}}",
     FRAG_MKV_BAD_ELEMENT, "SamplingFrequency", 0},
    {"a CodecID of 64 bytes", DOC_EBML "Segment:?{Tracks{Entry{!Codec<'A'*64>}}}",
     FRAG_MKV_BAD_ELEMENT, "CodecID", 0},
    {"a SimpleTag without name", DOC_HEAD "Tags{Tag{!SimpleTag{TagString='x'}}}}",
     FRAG_MKV_BAD_ELEMENT, "without a TagName", 0},
    {"an outer SimpleTag without name", DOC_HEAD "Tags{Tag{!SimpleTag{SimpleTag{TagName='x'}}}}}",
     FRAG_MKV_BAD_ELEMENT, "without a TagName", 0},
    {"two values, one behind a nested SimpleTag",
     DOC_HEAD "Tags{Tag{SimpleTag{TagName='a' TagString='y' SimpleTag{TagName='b'} "
              "!TagString='x'}}}}",
     FRAG_MKV_BAD_ELEMENT, "two names or values", 0},
    {"a tick of more than a second", DOC_EBML "Segment:?{!Info{Scale=1000000001}}",
     FRAG_MKV_BAD_TIME, "more than a second", 0},
    /* ---- larger than the parent ---- */
    {"a child over its parent", DOC_EBML "Segment:?{Info{!Title:1~100<'abc'>}}", FRAG_MKV_OVERRUN,
     "of 100 bytes", 0},
    {"a master over its parent", DOC_HEAD "Cluster{Time=1 !Group:2~900{}}}", FRAG_MKV_OVERRUN,
     "BlockGroup", 0},
    {"a block over its cluster", DOC_HEAD "Cluster{Time=1 !Simple:4~8<81 0000 80 'abc'>}}",
     FRAG_MKV_OVERRUN, "SimpleBlock", 0},
    {"a level-1 element over its Segment", DOC_EBML "Segment:1~20{!Void:2~300{}}", FRAG_MKV_OVERRUN,
     "Void", 0},
    {"an unknown-size cluster's child over the Segment",
     DOC_EBML "Segment:1~80{" DOC_TRACKS "Cluster:?{Time=1 !Void:2~60<00*60>}}", FRAG_MKV_OVERRUN,
     "Void", 0},
    {"a size of 2^56-2", DOC_HEAD "Cluster{Time=1 !Void:8~72057594037927934{}}}", FRAG_MKV_OVERRUN,
     "72057594037927934", 0},
    {"a child's header over its parent's end", DOC_HEAD "Cluster:1~4{Time=1 !<EC>} Void{} }",
     FRAG_MKV_OVERRUN, "Void", 0},
    {"an unknown-size cluster's header over the Segment's end",
     DOC_EBML "Segment:1~4{!Cluster:?{}}", FRAG_MKV_OVERRUN, "Cluster", 0},
    /* ---- unknown sizes ---- */
    {"EBML of unknown size", "!EBML:?{DocType='matroska'}", FRAG_MKV_SIZE_UNKNOWN, "EBML", 0},
    {"Info of unknown size", DOC_EBML "Segment:?{!Info:8?{}}", FRAG_MKV_SIZE_UNKNOWN, "Info", 0},
    {"Tracks of unknown size", DOC_EBML "Segment:?{!Tracks:?{}}", FRAG_MKV_SIZE_UNKNOWN, "Tracks",
     0},
    {"Tags of unknown size", DOC_HEAD "!Tags:?{}}", FRAG_MKV_SIZE_UNKNOWN, "Tags", 0},
    {"Void of unknown size", DOC_HEAD "!Void:?{}}", FRAG_MKV_SIZE_UNKNOWN, "Void", 0},
    {"a block of unknown size", DOC_HEAD "Cluster{Time=1 !Simple:?<81 0000 80>}}",
     FRAG_MKV_SIZE_UNKNOWN, "SimpleBlock", 0},
    {"a group of unknown size", DOC_HEAD "Cluster:?{Time=1 !Group:?{}}}", FRAG_MKV_SIZE_UNKNOWN,
     "BlockGroup", 0},
    /* ---- maxima ---- */
    {"CodecPrivate over 1 MiB",
     DOC_EBML "Segment:?{Tracks:8~2000000{Entry:8~1500000{!Private:4~1048577{}", FRAG_MKV_TOO_LARGE,
     "1048577", 0},
    {"TagString over 64 KiB",
     DOC_HEAD "Tags:8~200000{Tag:8~100000{SimpleTag:8~90000{!TagString:4~65537{}",
     FRAG_MKV_TOO_LARGE, "TagString", 0},
    {"TagBinary over 64 KiB",
     DOC_HEAD "Tags:8~200000{Tag:8~100000{SimpleTag:8~90000{!TagBinary:8~65537{}",
     FRAG_MKV_TOO_LARGE, "TagBinary", 0},
    {"TagName of 512 bytes", DOC_HEAD "Tags{Tag{SimpleTag{!TagName<'n'*512>}}}}",
     FRAG_MKV_TOO_LARGE, "TagName", 0},
    {"a number of 9 bytes", DOC_HEAD "Cluster{!Time<00*9>}}", FRAG_MKV_TOO_LARGE, "Timestamp", 0},
    {"a float of 10 bytes", DOC_EBML "Segment:?{Info{!Duration<00*10>}}", FRAG_MKV_TOO_LARGE,
     "of 10 bytes", 0},
    /* ---- depth ---- */
    {"SimpleTag without end",
     DOC_HEAD "Tags{Tag{"
              "SimpleTag{TagName='1' SimpleTag{TagName='2' SimpleTag{TagName='3' "
              "SimpleTag{TagName='4' SimpleTag{TagName='5' SimpleTag{TagName='6' "
              "SimpleTag{TagName='7' SimpleTag{TagName='8' SimpleTag{TagName='9' "
              "!SimpleTag{TagName='10'}}}}}}}}}}}}}",
     FRAG_MKV_TOO_DEEP, "SimpleTag", 0},
    /* ---- order ---- */
    {"a Cluster before Tracks", DOC_EBML "Segment:?{" DOC_INFO "!Cluster{Time=1}}", FRAG_MKV_ORDER,
     "before Tracks", 0},
    {"a SimpleBlock before the Timestamp", DOC_HEAD "Cluster{!" DOC_FRAME "Time=1}}",
     FRAG_MKV_ORDER, "before its cluster's Timestamp", 0},
    {"a Block before the Timestamp", DOC_HEAD "Cluster{Group{!Block<81 0000 00>} Time=1}}",
     FRAG_MKV_ORDER, "before its cluster's Timestamp", 0},
    {"two Timestamps", DOC_HEAD "Cluster{Time=1 !Time=1}}", FRAG_MKV_ORDER, "second Timestamp", 0},
    {"a Cluster without Timestamp", DOC_HEAD "!Cluster{Void{}}}", FRAG_MKV_ORDER,
     "without Timestamp", 0},
    {"an empty Cluster", DOC_HEAD "!Cluster{}}", FRAG_MKV_ORDER, "without Timestamp", 0},
    {"an unknown-size Cluster without Timestamp", DOC_HEAD "!Cluster:?{} Tags{}}", FRAG_MKV_ORDER,
     "without Timestamp", 0},
    {"another scale behind clusters", DOC_HEAD DOC_CLUSTER "!Info{Scale=1000}}", FRAG_MKV_ORDER,
     "TimestampScale", 0},
    /* ---- one Segment ---- */
    {"a second EBML header", DOC_EBML "Segment{} !" DOC_EBML, FRAG_MKV_SECOND_SEGMENT,
     "second EBML", 0},
    {"a second Segment", DOC_EBML "Segment{} !Segment{}", FRAG_MKV_SECOND_SEGMENT, "second Segment",
     0},
    {"a Segment in the Segment", DOC_EBML "Segment:?{!Segment{}}", FRAG_MKV_SECOND_SEGMENT,
     "second Segment", 0},
    {"an EBML header behind a cluster", DOC_HEAD "Cluster:?{Time=1} !EBML{}}",
     FRAG_MKV_SECOND_SEGMENT, "second EBML", 0},
    /* ---- tracks ---- */
    {"Tracks without a track", DOC_EBML "Segment:?{!Tracks{Void{}}}", FRAG_MKV_BAD_TRACKS,
     "no track", 0},
    {"a track without number", DOC_EBML "Segment:?{!Tracks{Entry{Type=1}}}", FRAG_MKV_BAD_TRACKS,
     "without number", 0},
    {"a track number 0", DOC_EBML "Segment:?{!Tracks{" DOC_VIDEO "Entry{Number=0}}}",
     FRAG_MKV_BAD_TRACKS, "without number", 0},
    {"a track number twice", DOC_EBML "Segment:?{!Tracks{" DOC_VIDEO DOC_VIDEO "}}",
     FRAG_MKV_BAD_TRACKS, "number 1 twice", 0},
    {"17 tracks",
     DOC_EBML "Segment:?{Tracks{" DOC_VIDEO DOC_AUDIO
              "Entry{Number=3} Entry{Number=4} Entry{Number=5} Entry{Number=6} Entry{Number=7} "
              "Entry{Number=8} Entry{Number=9} Entry{Number=10} Entry{Number=11} Entry{Number=12} "
              "Entry{Number=13} Entry{Number=14} Entry{Number=15} Entry{Number=16} "
              "!Entry{Number=17}}}",
     FRAG_MKV_BAD_TRACKS, "more than 16", 0},
    {"another Tracks later", DOC_HEAD DOC_CLUSTER "!Tracks{" DOC_VIDEO "}}", FRAG_MKV_BAD_TRACKS,
     "something else", 0},
    /* ---- compression ---- */
    {"zlib",
     DOC_EBML "Segment:?{Tracks{Entry{Number=1 Encodings{Encoding{Compression{!Algo=0}}}}}}",
     FRAG_MKV_COMPRESSED, "track 1 is compressed (zlib)", 0},
    {"bzlib",
     DOC_EBML "Segment:?{Tracks{Entry{Number=2 Encodings{Encoding{Compression{!Algo=1}}}}}}",
     FRAG_MKV_COMPRESSED, "track 2 is compressed (bzlib)", 0},
    {"lzo1x",
     DOC_EBML "Segment:?{Tracks{Entry{Number=1 Encodings{Encoding{Compression{!Algo=2}}}}}}",
     FRAG_MKV_COMPRESSED, "(lzo1x)", 0},
    {"header stripping",
     DOC_EBML "Segment:?{Tracks{Entry{Number=1 Encodings{Encoding{Compression{!Algo=3}}}}}}",
     FRAG_MKV_COMPRESSED, "(header stripping)", 0},
    {"an unknown compression",
     DOC_EBML "Segment:?{Tracks{Entry{Number=1 Encodings{Encoding{Compression{!Algo=4}}}}}}",
     FRAG_MKV_COMPRESSED, "(an unknown algorithm)", 0},
    {"compression by default",
     DOC_EBML "Segment:?{Tracks{Entry{Number=1 Encodings{Encoding{!Compression{}}}}}}",
     FRAG_MKV_COMPRESSED, "(zlib)", 0},
    {"encryption", DOC_EBML "Segment:?{Tracks{Entry{Number=1 Encodings{Encoding{!Encryption{}}}}}}",
     FRAG_MKV_COMPRESSED, "track 1 is encrypted", 0},
    {"an encrypted block", DOC_HEAD "Cluster{Time=1 !Encrypted<81 0000 80>}}", FRAG_MKV_COMPRESSED,
     "an encrypted block", 0},
    /* ---- blocks ---- */
    {"an empty block", DOC_HEAD "Cluster{Time=1 !Simple{}}}", FRAG_MKV_BAD_BLOCK, "does not fit",
     0},
    {"a block of a track number alone", DOC_HEAD "Cluster{Time=1 !Simple<81>}}", FRAG_MKV_BAD_BLOCK,
     "does not fit", 0},
    {"a block without flags", DOC_HEAD "Cluster{Time=1 !Simple<81 0000>}}", FRAG_MKV_BAD_BLOCK,
     "does not fit", 0},
    {"a block of half a track number", DOC_HEAD "Cluster{Time=1 !Simple<10 00 00>}}",
     FRAG_MKV_BAD_BLOCK, "does not fit", 0},
    {"a block whose track number begins with 0", DOC_HEAD "Cluster{Time=1 !Simple<00 0000 80>}}",
     FRAG_MKV_BAD_BLOCK, "no number", 0},
    {"two Blocks in a group",
     DOC_HEAD "Cluster{Time=1 Group{Block<81 0000 00> !Block<81 0000 00>}}}", FRAG_MKV_BAD_BLOCK,
     "second Block", 0},
    {"a lace without count", DOC_HEAD "Cluster{Time=1 !Simple<82 0000 82>}}", FRAG_MKV_BAD_BLOCK,
     "does not fit", 0},
    {"a Xiph lace without sizes", DOC_HEAD "Cluster{Time=1 !Simple<82 0000 82 02 05>}}",
     FRAG_MKV_BAD_BLOCK, "does not fit", 0},
    {"a Xiph size without end", DOC_HEAD "Cluster{Time=1 !Simple<82 0000 82 01 FF*20>}}",
     FRAG_MKV_BAD_BLOCK, "does not fit", 0},
    {"a Xiph size over its block", DOC_HEAD "Cluster{Time=1 !Simple<82 0000 82 01 05 'abcd'>}}",
     FRAG_MKV_BAD_BLOCK, "sizes do not fit", 0},
    {"a Xiph head over 8 KiB",
     DOC_HEAD "Cluster{Time=1 !Simple<82 0000 82 01 FF*8200 00 'a'*9000>}}", FRAG_MKV_BAD_BLOCK,
     "does not fit", 0},
    {"a fixed lace with a rest", DOC_HEAD "Cluster{Time=1 !Simple<82 0000 84 02 'abcd'>}}",
     FRAG_MKV_BAD_BLOCK, "sizes do not fit", 0},
    {"an EBML lace over its block", DOC_HEAD "Cluster{Time=1 !Simple<82 0000 86 01 85 'abcd'>}}",
     FRAG_MKV_BAD_BLOCK, "sizes do not fit", 0},
    {"an EBML lace with a size below 0",
     DOC_HEAD "Cluster{Time=1 !Simple<82 0000 86 02 81 BD 'abcdefgh'>}}", FRAG_MKV_BAD_BLOCK,
     "sizes do not fit", 0},
    {"an EBML lace with a size of no number",
     DOC_HEAD "Cluster{Time=1 !Simple<82 0000 86 01 00 'abcd'>}}", FRAG_MKV_BAD_BLOCK,
     "does not fit", 0},
    {"an EBML lace of huge sizes",
     DOC_HEAD "Cluster{Time=1 !Simple<82 0000 86 04 01FFFFFFFFFFFFFE 01FFFFFFFFFFFFFE "
              "01FFFFFFFFFFFFFE 01FFFFFFFFFFFFFE>}}",
     FRAG_MKV_BAD_BLOCK, "sizes do not fit", 0},
    {"a block of a track that is not there", DOC_HEAD "Cluster{Time=1 !Simple<83 0000 80>}}",
     FRAG_MKV_NO_SUCH_TRACK, "track 3", 0},
    {"a block of track 0", DOC_HEAD "Cluster{Time=1 !Simple<80 0000 80>}}", FRAG_MKV_NO_SUCH_TRACK,
     "track 0", 0},
    {"a block of the largest track number",
     DOC_HEAD "Cluster{Time=1 " DOC_FRAME "!Simple<01FFFFFFFFFFFFFF 0000 80>}}",
     FRAG_MKV_NO_SUCH_TRACK, "track 72057594037927935", 0},
    /* ---- times ---- */
    {"TimestampScale 0", DOC_EBML "Segment:?{!Info{Scale=0}}", FRAG_MKV_BAD_TIME, "TimestampScale",
     0},
    {"TimestampScale 2^63", DOC_EBML "Segment:?{!Info{Scale=9223372036854775808}}",
     FRAG_MKV_BAD_TIME, "TimestampScale", 0},
    {"a cluster time of 2^63", DOC_HEAD "Cluster{!Time=9223372036854775808}}", FRAG_MKV_BAD_TIME,
     "cluster's time", 0},
    {"a cluster time beyond 2116", DOC_HEAD "Cluster{!Time=4611686018428}}", FRAG_MKV_BAD_TIME,
     "cluster's time", 0},
    {"a block time beyond 2116", DOC_HEAD "Cluster{Time=4611686018427 !Simple<81 0001 80 'late'>}}",
     FRAG_MKV_BAD_TIME, "block's time", 0},
    {"a lace beyond 2116", DOC_HEAD "Cluster{Time=4611686018417 !Simple<82 0000 84 01 'ab'>}}",
     FRAG_MKV_BAD_TIME, "block's time", 0},
    /* ---- cut short ---- */
    {"half a header", "!<1A45DF>", FRAG_MKV_TRUNCATED, "header", 0},
    {"half an EBML header", "!EBML:1~40{DocType='webm'", FRAG_MKV_TRUNCATED, "inside EBML", 0},
    {"no Segment", DOC_EBML, FRAG_MKV_TRUNCATED, "before the Segment", 16},
    {"half a Segment", DOC_EBML "!Segment:1~40{" DOC_INFO, FRAG_MKV_TRUNCATED, "inside Segment", 0},
    {"half a title", DOC_EBML "Segment:?{Info:1~30{!Title:1~20<'abc'>", FRAG_MKV_TRUNCATED,
     "inside unknown element", 0},
    {"half a Void", DOC_HEAD "!Void:2~300<00*100>", FRAG_MKV_TRUNCATED, "inside Void", 0},
    {"half a Cluster", DOC_HEAD "!Cluster:1~40{Time=1", FRAG_MKV_TRUNCATED, "inside Cluster", 0},
    {"half a block head", DOC_HEAD "Cluster:1~40{Time=1 !Simple:1~20<81 00>", FRAG_MKV_TRUNCATED,
     "inside SimpleBlock", 0},
    {"half a frame", DOC_HEAD "Cluster:?{Time=1 " DOC_FRAME "!Simple:1~20<81 0000 80 'abc'>",
     FRAG_MKV_TRUNCATED, "inside SimpleBlock", 0},
    {"half a group", DOC_HEAD "Cluster:?{Time=1 !Group:1~20{Block<81 0000 00 'abc'>",
     FRAG_MKV_TRUNCATED, "inside BlockGroup", 0},
    {"half a header in a cluster", DOC_HEAD "Cluster:?{Time=1 !<A3>", FRAG_MKV_TRUNCATED, "header",
     0},
};

/* What may stand anywhere a level-1 element may. */
#define DOC_ODDS "Void{} Void<00*200> #4242<'unknown'> "

/* Taken; the events, as mkv_watch.h words them. Frames: track, ns, duration, bytes, flags. */
struct mkv_taken {
    const char *name;
    const char *text;
    const char *events;
    bool verify_crc;
};

#define LOG_HEAD "ebml(matroska) segment "
#define LOG_TRACKS "<Tracks tracks(2) >Tracks "
#define LOG_START LOG_HEAD "<Info info(1000000,0,t) >Info " LOG_TRACKS

static const struct mkv_taken mkv_taken[] = {
    {"the least", DOC_EBML "Segment{}", LOG_HEAD, false},
    {"webm, all versions, unknown header elements",
     "EBML{#4286=1 EBMLReadVersion=1 EBMLMaxIDLength=4 EBMLMaxSizeLength=8 DocType='webm' "
     "DocTypeVersion=5 DocTypeReadVersion=4 Void{} #4281{} CRC<00000000>} Segment:8{}",
     "ebml(webm) segment ", false},
    {"the document type padded with NULs", "EBML{DocType<'webm' 00*300>} Segment:?{}",
     "ebml(webm) segment ", false},
    {"Void and CRC around the Segment", DOC_EBML "Void<00*9> Segment{} Void{} CRC<01020304>",
     LOG_HEAD, false},
    {"one frame", DOC_HEAD DOC_CLUSTER "}",
     LOG_START "<Cluster time(1) frame(0,1000000,0,5,k) >Cluster ", false},
    {"8-byte sizes everywhere",
     "EBML:8{DocType:8='matroska'} Segment:8{Info:8{Scale:8=1000000 Title:8<'t' 00*20>} "
     "Tracks:8{Entry:8{Number:8=1 Codec:8='V_VP8'} Entry:8{Number:8=2}} "
     "Cluster:8{Time:8<0000000000000001> Simple:8<81 0000 80 'frame'>}}",
     LOG_START "<Cluster time(1) frame(0,1000000,0,5,k) >Cluster ", false},
    {"numbers of no bytes",
     DOC_EBML "Segment:?{Info{Duration{}} Tracks{Entry{Number=1 Type{}} "
              "} Cluster{Time{} Simple<81 0000 00>}}",
     LOG_HEAD "<Info info(1000000,0,) >Info <Tracks tracks(1) >Tracks "
              "<Cluster time(0) frame(0,0,0,0,) >Cluster ",
     false},
    {"durations of 4 and 8 bytes",
     DOC_EBML "Segment:?{Info{Duration<3FC00000>} Info{Duration=f2.5} Info{Duration=f-1} "
              "Info{Duration<7FF8000000000000>} Info{Duration=f1e300}}",
     LOG_HEAD "<Info info(1000000,1500000,) >Info <Info info(1000000,2500000,) >Info "
              "<Info info(1000000,0,) >Info <Info info(1000000,0,) >Info "
              "<Info info(1000000,0,) >Info ",
     false},
    {"frames' flags and times",
     DOC_HEAD "Cluster{Time=10 Simple<81 FFF6 00 'a'> Simple<81 7FFF 89 'bc'> "
              "Simple<81 8000 08> Simple<4002 0001 80 'x'> Simple<100000 02 0001 71 'x'>}}",
     LOG_START "<Cluster time(10) frame(0,0,0,1,) frame(0,32777000000,0,2,kid) "
               "frame(0,-32758000000,0,0,i) frame(1,11000000,20000000,1,k) "
               "frame(1,11000000,20000000,1,d) >Cluster ",
     false},
    {"laces",
     DOC_HEAD "Cluster{Time=0 Simple<82 0000 82 02 01 02 'abbccc'> "
              "Simple<82 0000 82 01 FF01 'x'*256 'yz'> Simple<82 0000 84 01 'abcd'> "
              "Simple<82 0000 84 01> Simple<82 0000 86 03 82 C0 BE 'aabbbddd'> "
              "Simple<82 0000 86 00 'one'> Simple<82 0000 86 01 80 'two'>}}",
     LOG_START "<Cluster time(0) "
               "frame(1,0,20000000,1,kl) frame(1,20000000,20000000,2,kl) "
               "frame(1,40000000,20000000,3,kl) "
               "frame(1,0,20000000,256,kl) frame(1,20000000,20000000,2,kl) "
               "frame(1,0,20000000,2,kl) frame(1,20000000,20000000,2,kl) "
               "frame(1,0,20000000,0,kl) frame(1,20000000,20000000,0,kl) "
               "frame(1,0,20000000,2,kl) frame(1,20000000,20000000,3,kl) "
               "frame(1,40000000,20000000,2,kl) frame(1,60000000,20000000,1,kl) "
               "frame(1,0,20000000,3,k) "
               "frame(1,0,20000000,0,kl) frame(1,20000000,20000000,3,kl) >Cluster ",
     false},
    {"groups: reference, duration, order, none, lace",
     DOC_HEAD
     "Cluster{Time=1 Group{Block<81 0000 80 'a'>} Group{Reference<FF> Block<81 0001 00 'b'>} "
     "Group{Block<82 0002 00 'c'> BlockDuration=7} Group{} Group{BlockDuration=3 "
     "Reference<FFFE>} Group{BlockDuration=9 Block<82 0003 0C 02 'xyz'> Void{} #75A1{}} "
     "Group{BlockDuration=0 Block<82 0004 00>}}}",
     LOG_START "<Cluster time(1) frame(0,1000000,0,1,k) frame(0,2000000,0,1,) "
               "frame(1,3000000,7000000,1,k) frame(1,4000000,3000000,1,kil) "
               "frame(1,7000000,3000000,1,kil) frame(1,10000000,3000000,1,kil) "
               "frame(1,5000000,0,0,k) >Cluster ",
     false},
    {"sound to discard: behind, before, of a lace's last frame, none, only of its own group",
     DOC_HEAD "Cluster{Time=1 Group{Discard<01 86A0> Block<82 0000 00>} "
              "Group{Block<82 0000 00> Discard<FF>} Group{Block<82 0000 04 01> Discard=5} "
              "Group{Discard{} Block<82 0000 00>} Group{Block<82 0000 00>} Discard=7 "
              "Group{Block<82 0000 00> Discard<8000000000000000>}}}",
     LOG_START "<Cluster time(1) frame(1,1000000,20000000,0,k) discard(100000) "
               "frame(1,1000000,20000000,0,k) discard(-1) frame(1,1000000,20000000,0,kl) "
               "frame(1,21000000,20000000,0,kl) discard(5) frame(1,1000000,20000000,0,k) "
               "frame(1,1000000,20000000,0,k) frame(1,1000000,20000000,0,k) "
               "discard(-9223372036854775808) >Cluster ",
     false},
    {"the last time that fits", DOC_HEAD "Cluster{Time=4611686018427 Simple<82 0000 80 'z'>}}",
     LOG_START "<Cluster time(4611686018427) "
               "frame(1,4611686018427000000,20000000,1,k) >Cluster ",
     false},
    {"a group's duration that does not fit",
     DOC_HEAD "Cluster{Time=1 Group{Block<81 0000 00> BlockDuration=18446744073709551615} "
              "Group{Block<81 0000 00> BlockDuration=4611686018428}}}",
     LOG_START "<Cluster time(1) frame(0,1000000,0,0,k) frame(0,1000000,0,0,k) >Cluster ", false},
    {"Void, CRC and unknown elements at every place",
     DOC_EBML "Segment:?{CRC<00000000> " DOC_ODDS "Info{CRC<00000000> " DOC_ODDS "} " DOC_ODDS
              "Tracks{" DOC_ODDS "Entry{" DOC_ODDS "Number=1 Video{" DOC_ODDS "Width=1} " DOC_ODDS
              "} " DOC_ODDS "} " DOC_ODDS "Cluster{CRC<00000000> " DOC_ODDS "Time=1 " DOC_ODDS
              "Group{" DOC_ODDS "Block<81 0000 00> " DOC_ODDS "} " DOC_FRAME DOC_ODDS "} " DOC_ODDS
              "Tags{" DOC_ODDS "Tag{" DOC_ODDS "Targets{" DOC_ODDS "} SimpleTag{" DOC_ODDS
              "TagName='n' " DOC_ODDS "} " DOC_ODDS "} " DOC_ODDS "} " DOC_ODDS "}",
     LOG_HEAD
     "<CRC-32 >CRC-32 <Void >Void <Void >Void <? >? <Info info(1000000,0,) >Info "
     "<Void >Void <Void >Void <? >? <Tracks tracks(1) >Tracks <Void >Void <Void >Void "
     "<? >? <Cluster time(1) frame(0,1000000,0,0,k) frame(0,1000000,0,5,k) >Cluster "
     "<Void >Void <Void >Void <? >? <Tags tag(0.0.0 n) >Tags <Void >Void <Void >Void <? >? ",
     false},
    {"known elements in wrong masters are passed over",
     DOC_EBML
     "Segment:?{Info{Number=0 Simple{} Time=1 Codec<'x'*100>} Tracks{Number=0 Entry{Number=1 "
     "Width=2 Algo=1 Compression{} Video{Rate<00>} Time=1}} Cluster{Time=1 Number=0 "
     "Block{} Group{Time=1 Simple{}} TagName{}} Tags{TagName<'x'*600> Tag{TagString{}}} "
     "Time=5 Simple{}}",
     LOG_HEAD "<Info info(1000000,0,) >Info <Tracks tracks(1) >Tracks <Cluster time(1) >Cluster "
              "<Tags >Tags <Timestamp >Timestamp <SimpleBlock >SimpleBlock ",
     false},
    {"every level-1 element, before, between and behind clusters",
     DOC_EBML "Segment:?{SeekHead<00*5> " DOC_INFO "Cues<01> Chapters{} " DOC_TRACKS
              "Attachments<FF*9> Tags{} " DOC_CLUSTER "Cues{} Tags{} Chapters<00> " DOC_CLUSTER
              "Cues{CuePoint{}} Attachments{} SeekHead{}}",
     LOG_HEAD
     "<SeekHead >SeekHead <Info info(1000000,0,t) >Info <Cues >Cues <Chapters >Chapters " LOG_TRACKS
     "<Attachments >Attachments <Tags >Tags <Cluster time(1) frame(0,1000000,0,5,k) "
     ">Cluster <Cues >Cues <Tags >Tags <Chapters >Chapters <Cluster time(1) "
     "frame(0,1000000,0,5,k) >Cluster <Cues >Cues <Attachments >Attachments <SeekHead "
     ">SeekHead ",
     false},
    {"an unknown-size cluster ended by each level-1 element and by the end",
     DOC_HEAD
     "Cluster:?{Time=1} SeekHead{} Cluster:8?{Time=2} Info{Title='t'} Cluster:?{Time=3} " DOC_TRACKS
     "Cluster:?{Time=4} Cluster:4?{Time=5 " DOC_FRAME "} Cues{} Cluster:?{Time=6 Void{} "
     "#4242{}} Chapters{} Cluster:?{Time=7} Tags{} Cluster:?{Time=8} Attachments{} "
     "Cluster:?{Time=9}}",
     LOG_START
     "<Cluster time(1) >Cluster <SeekHead >SeekHead <Cluster time(2) >Cluster <Info "
     "info(1000000,0,t) >Info <Cluster time(3) >Cluster <Tracks >Tracks <Cluster time(4) "
     ">Cluster <Cluster time(5) frame(0,5000000,0,5,k) >Cluster <Cues >Cues <Cluster "
     "time(6) >Cluster <Chapters >Chapters <Cluster time(7) >Cluster <Tags >Tags <Cluster "
     "time(8) >Cluster <Attachments >Attachments <Cluster time(9) >Cluster ",
     false},
    {"an unknown-size cluster ended by its Segment",
     DOC_EBML "Segment{" DOC_TRACKS "Cluster:?{Time=1 " DOC_FRAME "}} Void{}",
     LOG_HEAD LOG_TRACKS "<Cluster time(1) frame(0,1000000,0,5,k) >Cluster ", false},
    {"tags: groups, depth, targets, kinds, padding",
     DOC_HEAD
     "Tags{Tag{Targets{} SimpleTag{TagName<'a' 00 00> TagString<'va' 00*3>} "
     "SimpleTag{TagString='early' TagName='b'}} "
     "Tag{Targets{TagTrackUID=11} SimpleTag{TagName='c' TagBinary<'x' 'y'> "
     "SimpleTag{TagName='d' TagString='w' SimpleTag{TagName='e'}} SimpleTag{TagName='f'}}} "
     "Tag{SimpleTag{TagName='g' TagString{}}}} " DOC_CLUSTER "Tags{Tag{SimpleTag{TagName='h' "
     "TagString='1' TagBinary='2'}}} " DOC_CLUSTER "Tags{Tag{} Tag{SimpleTag{TagName{}}}}}",
     LOG_START "<Tags tag(0.0.0 a=va) tag(0.0.0 b=early) tag(1.0.11 c~xy) tag(1.1.11 d=w) "
               "tag(1.2.11 e) tag(1.1.11 f) tag(2.0.0 g=) >Tags "
               "<Cluster time(1) frame(0,1000000,0,5,k) >Cluster <Tags tag(0.0.0 h~2) >Tags "
               "<Cluster time(1) frame(0,1000000,0,5,k) >Cluster <Tags tag(1.0.0 ) >Tags ",
     false},
    {"the deepest tags",
     DOC_HEAD "Tags{Tag{SimpleTag{TagName='1' SimpleTag{TagName='2' SimpleTag{TagName='3' "
              "SimpleTag{TagName='4' SimpleTag{TagName='5' SimpleTag{TagName='6' "
              "SimpleTag{TagName='7' SimpleTag{TagName='8' SimpleTag{TagName='9'}}}}}}}}}}}}",
     LOG_START "<Tags tag(0.8.0 9) tag(0.7.0 8) tag(0.6.0 7) tag(0.5.0 6) tag(0.4.0 5) "
               "tag(0.3.0 4) tag(0.2.0 3) tag(0.1.0 2) tag(0.0.0 1) >Tags ",
     false},
    {"a value behind nested tags",
     DOC_HEAD "Tags{Tag{SimpleTag{TagName='a' SimpleTag{TagName='b' TagString='w'} "
              "SimpleTag{TagName='c' TagString='v'} TagString='x'}}}}",
     LOG_START "<Tags tag(0.1.0 b=w) tag(0.1.0 c=v) tag(0.0.0 a=x) >Tags ", false},
    {"Info and Tracks said again", DOC_HEAD DOC_INFO DOC_TRACKS DOC_CLUSTER DOC_TRACKS DOC_INFO "}",
     LOG_START "<Info info(1000000,0,t) >Info <Tracks >Tracks <Cluster time(1) "
               "frame(0,1000000,0,5,k) >Cluster <Tracks >Tracks <Info info(1000000,0,t) >Info ",
     false},
    {"Tracks before Info", DOC_EBML "Segment:?{" DOC_TRACKS "Info{Scale=1000} " DOC_CLUSTER "}",
     LOG_HEAD LOG_TRACKS "<Info info(1000,0,) >Info <Cluster time(1) frame(0,1000,0,5,k) >Cluster ",
     false},
    {"a wrong CRC, not looked at", DOC_EBML "Segment:?{Info{BadCrc Title='t'}}",
     LOG_HEAD "<Info info(1000000,0,t) >Info ", false},
    {"a wrong CRC", DOC_EBML "Segment:?{Info{BadCrc Title='t'}}",
     LOG_HEAD "<Info info(1000000,0,t) badcrc(Info) >Info ", true},
    {"right CRCs",
     DOC_EBML
     "Segment:?{SeekHead{Crc Seek{}} Info{Crc Scale=1000000 Title='t'} Tracks{Crc " DOC_VIDEO
         DOC_AUDIO "} Cues{Crc CuePoint{} CuePoint{}} Cluster:?{Crc Time=1 " DOC_FRAME "} "
     "Tags{Crc} Chapters{Crc} Cluster:?{Crc Time=2}}",
     LOG_HEAD "<SeekHead >SeekHead <Info info(1000000,0,t) >Info " LOG_TRACKS "<Cues >Cues "
              "<Cluster time(1) frame(0,1000000,0,5,k) >Cluster <Tags >Tags <Chapters >Chapters "
              "<Cluster time(2) >Cluster ",
     true},
    {"wrong CRCs",
     DOC_EBML "Segment:?{SeekHead{BadCrc Seek{}} Tracks{BadCrc " DOC_VIDEO DOC_AUDIO
              "} Cues{BadCrc "
              "CuePoint{}} Cluster:?{BadCrc Time=1 " DOC_FRAME "} Tags{BadCrc} "
              "Cluster{Time=2 BadCrc " DOC_FRAME "} Chapters{BadCrc} Cluster:?{BadCrc Time=3}}",
     LOG_HEAD "<SeekHead badcrc(SeekHead) >SeekHead <Tracks tracks(2) badcrc(Tracks) >Tracks "
              "<Cues badcrc(Cues) >Cues <Cluster time(1) frame(0,1000000,0,5,k) badcrc(Cluster) "
              ">Cluster <Tags badcrc(Tags) >Tags <Cluster time(2) frame(0,2000000,0,5,k) >Cluster "
              "<Chapters badcrc(Chapters) >Chapters <Cluster time(3) badcrc(Cluster) >Cluster ",
     true},
};

#endif
