/* Names of profiles and levels, for people. */
#include "fragments/nal.h"

#include <stdio.h>

#define NAME_BYTES 48

/* ---- H.264, annex A ---- */

static const char *h264_profile(const struct frag_video_params *params) {
    const uint8_t constraints = params->profile_compatibility[0];
    const bool set1 = (constraints & 0x40) != 0;
    const bool set3 = (constraints & 0x10) != 0;
    const bool set4_and_5 = (constraints & 0x0c) == 0x0c;

    switch (params->profile_idc) {
    case 44:
        return "CAVLC 4:4:4 Intra";
    case 66:
        return set1 ? "Constrained Baseline" : "Baseline";
    case 77:
        return "Main";
    case 83:
        return "Scalable Baseline";
    case 86:
        return "Scalable High";
    case 88:
        return "Extended";
    case 100:
        return set4_and_5 ? "Constrained High" : "High";
    case 110:
        return set3 ? "High 10 Intra" : "High 10";
    case 118:
        return "Multiview High";
    case 122:
        return set3 ? "High 4:2:2 Intra" : "High 4:2:2";
    case 128:
        return "Stereo High";
    case 144:
        return "High 4:4:4";
    case 244:
        return set3 ? "High 4:4:4 Intra" : "High 4:4:4 Predictive";
    default:
        return NULL;
    }
}

/* Level 1b is 9, or 11 with constraint_set3_flag in the profiles that had it first (A.3.1). */
static bool is_level_1b(const struct frag_video_params *params) {
    const bool old =
        params->profile_idc == 66 || params->profile_idc == 77 || params->profile_idc == 88;
    const bool set3 = (params->profile_compatibility[0] & 0x10) != 0;

    return params->level_idc == 9 || (old && set3 && params->level_idc == 11);
}

static void put_h264(const struct frag_video_params *params, char *text, size_t room) {
    const char *profile = h264_profile(params);
    char name[NAME_BYTES];

    (void)snprintf(name, sizeof(name), "Profile %u", params->profile_idc);
    if (is_level_1b(params)) {
        (void)snprintf(text, room, "%s 1b", profile != NULL ? profile : name);
    } else {
        (void)snprintf(text, room, "%s %u.%u", profile != NULL ? profile : name,
                       params->level_idc / 10u, params->level_idc % 10u);
    }
}

/* ---- H.265, annex A ---- */

/* Table A.2: the range extensions are told apart by constraint flags only. */
static void name_range_extension(const struct frag_video_params *params, char *name, size_t room) {
    const uint8_t first = params->constraint_indicator[0];
    const uint8_t second = params->constraint_indicator[1];
    const char *chroma = " 4:4:4";
    const char *depth = " 16";

    if ((second & 0xc0) != 0) { /* max_420chroma, max_monochrome */
        chroma = "";
    } else if ((first & 0x01) != 0) { /* max_422chroma */
        chroma = " 4:2:2";
    }
    if ((first & 0x02) != 0) { /* max_8bit, max_10bit, max_12bit */
        depth = "";
    } else if ((first & 0x04) != 0) {
        depth = " 10";
    } else if ((first & 0x08) != 0) {
        depth = " 12";
    }
    (void)snprintf(name, room, "%s%s%s%s", (second & 0x40) != 0 ? "Monochrome" : "Main", chroma,
                   depth,
                   (second & 0x10) != 0   ? " Still Picture" /* one_picture_only */
                   : (second & 0x20) != 0 ? " Intra"
                                          : "");
}

static void name_h265_profile(const struct frag_video_params *params, char *name, size_t room) {
    switch (params->profile_idc) {
    case 1:
        (void)snprintf(name, room, "Main");
        break;
    case 2:
        /* A.3.3: one_picture_only_constraint_flag */
        (void)snprintf(name, room,
                       (params->constraint_indicator[1] & 0x10) != 0 ? "Main 10 Still Picture"
                                                                     : "Main 10");
        break;
    case 3:
        (void)snprintf(name, room, "Main Still Picture");
        break;
    case 4:
        name_range_extension(params, name, room);
        break;
    case 5:
        (void)snprintf(name, room, "High Throughput");
        break;
    case 6:
        (void)snprintf(name, room, "Multiview Main");
        break;
    case 7:
        (void)snprintf(name, room, "Scalable Main");
        break;
    case 9:
        (void)snprintf(name, room, "Screen-Extended Main");
        break;
    default:
        (void)snprintf(name, room, "Profile %u", params->profile_idc);
        break;
    }
}

static void put_h265(const struct frag_video_params *params, char *text, size_t room) {
    char name[NAME_BYTES];

    name_h265_profile(params, name, sizeof(name));
    /* general_level_idc is thirty times the level. */
    (void)snprintf(text, room, "%s L%u.%u%s", name, params->level_idc / 30u,
                   params->level_idc % 30u / 3u, params->tier != 0 ? " High tier" : "");
}

const char *frag_video_params_text(enum kn_codec codec, const struct frag_video_params *params,
                                   char *text, size_t room) {
    if (room > 0) {
        text[0] = '\0';
    }
    if (codec == KN_CODEC_H264) {
        put_h264(params, text, room);
    } else if (codec == KN_CODEC_H265) {
        put_h265(params, text, room);
    }
    return text;
}
