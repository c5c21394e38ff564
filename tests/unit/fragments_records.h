/* avcC and hvcC as FFmpeg 5.1 writes them for streams of x264 and x265, and what these streams are.
 * Made from generated pictures (testsrc2): facts, not works. */
#ifndef TESTS_UNIT_FRAGMENTS_RECORDS_H
#define TESTS_UNIT_FRAGMENTS_RECORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/track.h"

struct record_facts {
    const char *name;
    enum kn_codec codec;
    bool exact; /* false: holds an SEI or padding, which are not packed again */
    const char *text;
    uint32_t width, height, sar_width, sar_height, rate_num, rate_den;
    uint8_t chroma_format_idc, bit_depth, sub_layers;
    int reorder_frames;
    bool interlaced;
    const char *hex;
};

static const struct record_facts records[] = {
    {
        .name = "h264_high40: 1080 lines cropped from 1088, B-frames",
        .codec = KN_CODEC_H264,
        .exact = true,
        .text = "High 4.0",
        .width = 1920,
        .height = 1080,
        .sar_width = 1,
        .sar_height = 1,
        .rate_num = 25,
        .rate_den = 1,
        .chroma_format_idc = 1,
        .bit_depth = 8,
        .sub_layers = 0,
        .reorder_frames = 2,
        .interlaced = false,
        .hex = "01640028ffe1001b67640028acd940780227e5c044000003000400000300c83c60c65801000668eb"
               "e3cb22c0fdf8f800",
    },
    {
        .name = "h264_cbp31: baseline",
        .codec = KN_CODEC_H264,
        .exact = true,
        .text = "Constrained Baseline 3.1",
        .width = 1280,
        .height = 720,
        .sar_width = 1,
        .sar_height = 1,
        .rate_num = 30,
        .rate_den = 1,
        .chroma_format_idc = 1,
        .bit_depth = 8,
        .sub_layers = 0,
        .reorder_frames = 0,
        .interlaced = false,
        .hex = "0142c01fffe100196742c01fd9005005bb0110000003001000000303c0f183248001000568cb83cb"
               "20",
    },
    {
        .name = "h264_level1b: level 1b by constraint_set3_flag",
        .codec = KN_CODEC_H264,
        .exact = true,
        .text = "Constrained Baseline 1b",
        .width = 176,
        .height = 144,
        .sar_width = 1,
        .sar_height = 1,
        .rate_num = 15,
        .rate_den = 1,
        .chroma_format_idc = 1,
        .bit_depth = 8,
        .sub_layers = 0,
        .reorder_frames = 0,
        .interlaced = false,
        .hex = "0142d00bffe100166742d00bd902c4ec0440000003004000000783c4899201000568cb83cb20",
    },
    {
        .name = "h264_main_hrd: HRD, 30000/1001",
        .codec = KN_CODEC_H264,
        .exact = true,
        .text = "Main 3.0",
        .width = 640,
        .height = 360,
        .sar_width = 1,
        .sar_height = 1,
        .rate_num = 30000,
        .rate_den = 1001,
        .chroma_format_idc = 1,
        .bit_depth = 8,
        .sub_layers = 0,
        .reorder_frames = 2,
        .interlaced = false,
        .hex = "014d401effe10022674d401eeca05017fcb808800001f480007530301000f420003d09498600f162"
               "d96001000568ebe3cb20",
    },
    {
        .name = "h264_interlaced: frame_mbs_only_flag 0, cropping counts fields",
        .codec = KN_CODEC_H264,
        .exact = true,
        .text = "High 4.0",
        .width = 1920,
        .height = 1080,
        .sar_width = 1,
        .sar_height = 1,
        .rate_num = 25,
        .rate_den = 1,
        .chroma_format_idc = 1,
        .bit_depth = 8,
        .sub_layers = 0,
        .reorder_frames = 2,
        .interlaced = true,
        .hex = "01640028ffe1001a67640028acd94078044fde0220000003002000000643e2c5b2c001000668fba3"
               "cb22c0fdf8f800",
    },
    {
        .name = "h264_hi422: 4:2:2, 10 bits",
        .codec = KN_CODEC_H264,
        .exact = true,
        .text = "High 4:2:2 3.2",
        .width = 1280,
        .height = 720,
        .sar_width = 1,
        .sar_height = 1,
        .rate_num = 50,
        .rate_den = 1,
        .chroma_format_idc = 2,
        .bit_depth = 10,
        .sub_layers = 0,
        .reorder_frames = 2,
        .interlaced = false,
        .hex = "017a0020ffe1001a677a0020b6cd9405005bb011000003000100000300640f18319601000668ebe3"
               "cb22c0fefafa00",
    },
    {
        .name = "h264_hi444: 4:4:4, odd cropping units",
        .codec = KN_CODEC_H264,
        .exact = true,
        .text = "High 4:4:4 Predictive 1.2",
        .width = 322,
        .height = 242,
        .sar_width = 1,
        .sar_height = 1,
        .rate_num = 10,
        .rate_den = 1,
        .chroma_format_idc = 3,
        .bit_depth = 8,
        .sub_layers = 0,
        .reorder_frames = 2,
        .interlaced = false,
        .hex = "01f4000cffe1001a67f4000c919b282a10f1f1f80880000003008000000a078a14cb01000668ebe3"
               "c44844fff8f800",
    },
    {
        .name = "h264_gray: monochrome",
        .codec = KN_CODEC_H264,
        .exact = true,
        .text = "High 2.2",
        .width = 642,
        .height = 362,
        .sar_width = 1,
        .sar_height = 1,
        .rate_num = 15,
        .rate_den = 1,
        .chroma_format_idc = 0,
        .bit_depth = 8,
        .sub_layers = 0,
        .reorder_frames = 2,
        .interlaced = false,
        .hex = "01640016ffe1001a67640016f3650290bf8f9f016c80000003008000000f078b16cb01000668ebe3"
               "cb22c0fcf8f800",
    },
    {
        .name = "h264_sar_cqm: aspect_ratio_idc 4, scaling matrix",
        .codec = KN_CODEC_H264,
        .exact = true,
        .text = "High 3.0",
        .width = 720,
        .height = 576,
        .sar_width = 16,
        .sar_height = 11,
        .rate_num = 25,
        .rate_den = 1,
        .chroma_format_idc = 1,
        .bit_depth = 8,
        .sub_layers = 0,
        .reorder_frames = 2,
        .interlaced = false,
        .hex = "0164001effe100196764001eacd940b4126c1040000003004000000c83c58b658001000768ebe3cb"
               "3002c0fdf8f800",
    },
    {
        .name = "h264_extsar: aspect ratio in full",
        .codec = KN_CODEC_H264,
        .exact = true,
        .text = "High 3.0",
        .width = 704,
        .height = 480,
        .sar_width = 85,
        .sar_height = 93,
        .rate_num = 30,
        .rate_den = 1,
        .chroma_format_idc = 1,
        .bit_depth = 8,
        .sub_layers = 0,
        .reorder_frames = 2,
        .interlaced = false,
        .hex = "0164001effe1001d6764001eacd940b03dbff0055005d10000030001000003003c0f162d96010006"
               "68ebe3cb22c0fdf8f800",
    },
    {
        .name = "h264_intra10: constraint_set3_flag, no reordering, padded sets",
        .codec = KN_CODEC_H264,
        .exact = false,
        .text = "High 10 Intra 4.0",
        .width = 1440,
        .height = 1080,
        .sar_width = 4,
        .sar_height = 3,
        .rate_num = 25,
        .rate_den = 1,
        .chroma_format_idc = 1,
        .bit_depth = 10,
        .sub_layers = 0,
        .reorder_frames = 0,
        .interlaced = false,
        .hex = "016e1028ffe100f6676e1028a6d42032330c7118886210191986388c44302102564e6f37cdf9bf81"
               "6bf37cde6e6cd33c05a0227e5c3840000003004000000ca100000000000000000000000000000000"
               "00000000000000000000000000000000000000000000000000000000000000000000000000000000"
               "00000000000000000000000000000000000000000000000000000000000000000000000000000000"
               "00000000000000000000000000000000000000000000000000000000000000000000000000000000"
               "00000000000000000000000000000000000000000000000000000000000000000000000000000000"
               "00000000000000000000000000000100fd68ee311211000000000000000000000000000000000000"
               "00000000000000000000000000000000000000000000000000000000000000000000000000000000"
               "00000000000000000000000000000000000000000000000000000000000000000000000000000000"
               "00000000000000000000000000000000000000000000000000000000000000000000000000000000"
               "00000000000000000000000000000000000000000000000000000000000000000000000000000000"
               "00000000000000000000000000000000000000000000000000000000000000000000000000000000"
               "000000000000000000000000000000000000000000000000000000000000fdfafa00",
    },
    {
        .name = "h265_main: Main, B-frames",
        .codec = KN_CODEC_H265,
        .exact = true,
        .text = "Main L4.0",
        .width = 1920,
        .height = 1080,
        .sar_width = 1,
        .sar_height = 1,
        .rate_num = 25,
        .rate_den = 1,
        .chroma_format_idc = 1,
        .bit_depth = 8,
        .sub_layers = 1,
        .reorder_frames = 2,
        .interlaced = false,
        .hex = "01016000000090000000000078f000fcfdf8f800000f03a00001001840010c01ffff016000000300"
               "900000030000030078959809a10001002a420101016000000300900000030000030078a003c08010"
               "e596566924caf0168080000003008000000c84a2000100074401c172b46240",
    },
    {
        .name = "h265_main10: Main 10, 30000/1001",
        .codec = KN_CODEC_H265,
        .exact = true,
        .text = "Main 10 L3.1",
        .width = 1280,
        .height = 720,
        .sar_width = 1,
        .sar_height = 1,
        .rate_num = 30000,
        .rate_den = 1001,
        .chroma_format_idc = 1,
        .bit_depth = 10,
        .sub_layers = 1,
        .reorder_frames = 2,
        .interlaced = false,
        .hex = "0102200000009000000000005df000fcfdfafa00000f03a00001001840010c01ffff022000000300"
               "90000003000003005d959809a10001002942010102200000030090000003000003005da00280802d"
               "1365959a4932bc05a02000007d20000ea601a2000100074401c172b46240",
    },
    {
        .name = "h265_main10_high: High tier",
        .codec = KN_CODEC_H265,
        .exact = true,
        .text = "Main 10 L5.1 High tier",
        .width = 3840,
        .height = 2160,
        .sar_width = 1,
        .sar_height = 1,
        .rate_num = 60,
        .rate_den = 1,
        .chroma_format_idc = 1,
        .bit_depth = 10,
        .sub_layers = 1,
        .reorder_frames = 2,
        .interlaced = false,
        .hex = "01222000000090000000000099f000fcfdfafa00000f03a00001001840010c01ffff222000000300"
               "900000030000030099959409a10001002b420101222000000300900000030000030099a001e02002"
               "1c4d965654a4c2f0168080000003008000001e04a2000100064401c073c189",
    },
    {
        .name = "h265_nob: no B-frames",
        .codec = KN_CODEC_H265,
        .exact = true,
        .text = "Main L3.0",
        .width = 640,
        .height = 480,
        .sar_width = 1,
        .sar_height = 1,
        .rate_num = 25,
        .rate_den = 1,
        .chroma_format_idc = 1,
        .bit_depth = 8,
        .sub_layers = 1,
        .reorder_frames = 0,
        .interlaced = false,
        .hex = "0101600000009000000000005af000fcfdf8f800000f03a00001001840010c01ffff016000000300"
               "90000003000003005a928090a10001002a42010101600000030090000003000003005aa0050201e1"
               "6592a4932bc05a020000030002000003003210a2000100074401c172b46240",
    },
    {
        .name = "h265_422_10: range extensions, conformance window",
        .codec = KN_CODEC_H265,
        .exact = true,
        .text = "Main 4:2:2 10 L3.1",
        .width = 1282,
        .height = 722,
        .sar_width = 1,
        .sar_height = 1,
        .rate_num = 25,
        .rate_den = 1,
        .chroma_format_idc = 2,
        .bit_depth = 10,
        .sub_layers = 1,
        .reorder_frames = 2,
        .interlaced = false,
        .hex = "0104080000009d08000000005df000fcfefafa00000f03a00001001740010c01ffff040800000300"
               "9d0800000300005d959809a10001002c4201010408000003009d0800000300005db00284802d9c93"
               "b65959a4932bc05a020000030002000003003210a2000100074401c172b46240",
    },
    {
        .name = "h265_444_12: 12 bits",
        .codec = KN_CODEC_H265,
        .exact = true,
        .text = "Main 4:4:4 12 L2.0",
        .width = 322,
        .height = 242,
        .sar_width = 1,
        .sar_height = 1,
        .rate_num = 10,
        .rate_den = 1,
        .chroma_format_idc = 3,
        .bit_depth = 12,
        .sub_layers = 1,
        .reorder_frames = 2,
        .interlaced = false,
        .hex = "0104080000009808000000003cf000fcfffcfc00000f03a00001001740010c01ffff040800000300"
               "980800000300003c959809a10001002c420101040800000300980800000300003c90014901f39e72"
               "94b2b349265780b4040000030004000003002820a2000100084401c172860c4624",
    },
    {
        .name = "h265_gray: monochrome",
        .codec = KN_CODEC_H265,
        .exact = true,
        .text = "Monochrome L2.1",
        .width = 642,
        .height = 362,
        .sar_width = 1,
        .sar_height = 1,
        .rate_num = 15,
        .rate_den = 1,
        .chroma_format_idc = 0,
        .bit_depth = 8,
        .sub_layers = 1,
        .reorder_frames = 2,
        .interlaced = false,
        .hex = "0104080000009fc8000000003ff000fcfcf8f800000f03a00001001740010c01ffff040800000300"
               "9fc800000300003f959809a10001002b4201010408000003009fc800000300003fc0144805c73cf9"
               "6566924caf016c080000030008000003007840a2000100074401c172b46240",
    },
    {
        .name = "h265_layers_lp: two temporal layers",
        .codec = KN_CODEC_H265,
        .exact = true,
        .text = "Main L2.1",
        .width = 640,
        .height = 360,
        .sar_width = 1,
        .sar_height = 1,
        .rate_num = 25,
        .rate_den = 1,
        .chroma_format_idc = 1,
        .bit_depth = 8,
        .sub_layers = 2,
        .reorder_frames = 2,
        .interlaced = false,
        .hex = "0101600000009000000000003ff000fcfdf8f800001303a00001001c40010c02ffff016000000300"
               "90000003000003003f00009598acc048a10001002e42010201600000030090000003000003003f00"
               "00a005020169659598acd24995e02d010000030001000003001908a2000100074401c172b46240",
    },
    {
        .name = "h265_field: field_seq_flag; an SEI array in the record",
        .codec = KN_CODEC_H265,
        .exact = false,
        .text = "Main L3.1",
        .width = 720,
        .height = 576,
        .sar_width = 1,
        .sar_height = 1,
        .rate_num = 50,
        .rate_den = 1,
        .chroma_format_idc = 1,
        .bit_depth = 8,
        .sub_layers = 1,
        .reorder_frames = 2,
        .interlaced = true,
        .hex = "0101600000004000000000005df000fcfdf8f800000f04a00001001840010c01ffff016000000300"
               "40000003000003005d959809a10001002b42010101600000030040000003000003005da005a20090"
               "596566924caf0168680000030008000003019040a2000100074401c172b4624027000100064e0181"
               "010f80",
    },
    {
        .name = "h265_hrd_sar: HRD, aspect ratio; an SEI array",
        .codec = KN_CODEC_H265,
        .exact = false,
        .text = "Main L3.0",
        .width = 720,
        .height = 576,
        .sar_width = 16,
        .sar_height = 11,
        .rate_num = 25,
        .rate_den = 1,
        .chroma_format_idc = 1,
        .bit_depth = 8,
        .sub_layers = 1,
        .reorder_frames = 2,
        .interlaced = false,
        .hex = "0101600000009000000000005af000fcfdf8f800000f04a00001001840010c01ffff016000000300"
               "90000003000003005a959809a10001003542010101600000030090000003000003005aa005a20090"
               "596566924caf046808000003000800000300cb00a4b2f0007a12000f4244a2000100074401c172b4"
               "624027000100064e0181010f80",
    },
    {
        .name = "h265_scaling: scaling lists in the SPS",
        .codec = KN_CODEC_H265,
        .exact = true,
        .text = "Main L3.0",
        .width = 640,
        .height = 480,
        .sar_width = 1,
        .sar_height = 1,
        .rate_num = 25,
        .rate_den = 1,
        .chroma_format_idc = 1,
        .bit_depth = 8,
        .sub_layers = 1,
        .reorder_frames = 2,
        .interlaced = false,
        .hex = "0101600000009000000000005af000fcfdf8f800000f03a00001001840010c01ffff016000000300"
               "90000003000003005a959809a10001032e42010101600000030090000003000003005aa0050201e1"
               "65959a493e121443108884202d210c4150b0a2188444202b4421882a1a1443108880ac8884310543"
               "c288621102b211108620a82214431015a210888431054130a218159110844421880960a8360a02a7"
               "382039ce24e705076739ce721c141ce738a39ce7050738a39ce739c87050739d9ce7382639ce3ce0"
               "a02a70a41706c14054e7040739c49ce7050ce739ce439c141ce714739ce7050704a0a0e739ce439c"
               "141cece739c131ce71e70501538520c83670d1ce3c141ce24e738286739ce721ce0a0e738a39ce73"
               "9c14025050739ce721ce705076739ce24141ce3ce70d1c2906c1b3868e71e7050712739cec141ce7"
               "390e7382839c51ce739ce0a0129c141ce7390e738283b39ce7120a0e71e73868e1b83a0d9c34738f"
               "382838939ce760a0e739c8739ce0a0e28e739ce738a39c141ce721ce738286739ce24e0a0e3ce70d"
               "1c3708050e1a39c79ce0a049ce73b382839ce439ce7050704a0a0e739ce7147382839ce439ce7382"
               "c39ce712738281e73868e1b852143868e71e739c131ce73b39c141ce439ce7382804a7050739ce71"
               "4739c141ce439ce73b050739c49ce0a079ce1a386e1410143854e0a079ce7120a0e73b39ce0a0e43"
               "9ce739c51ce0a0e739c51ce73828390e739cece0a0e712739c101ce1538521408050e1539c101ce7"
               "12705073b39ce70500ac141ce739c51ce7050739c51ce739ce4050739cece7382812739c78283854"
               "e14850301b0501539c101ce712738283b39ce7390e0a0e739c51ce739c141c51ce739ce439c141ce"
               "ce739c131ce71e7050153852140401b3868e71e0a0e712739ce0b0e739ce439ce0a0e714739ce738"
               "2804a7050739ce439ce0a0ece739c482839c79ce1a3852140501b3868e71e7382812739cece0a0e7"
               "390e739c141c1282839ce739c51ce0a0e7390e739c14339ce712705071e73868e1b851050e150507"
               "1e739c131ce73b39c141ce439ce7382804a7050739ce714739c141ce439ce73b050739c49ce70407"
               "38541406e140d06c14054e7040739c49ce7050ce739ce439c141ce714739ce7050704a0a0e739ce4"
               "39c141cece739c131ce71e70501538515e02d0100000030010000003019080a2000100074401c172"
               "b46240",
    },
};

#endif
