/*
 * profile_evidence.h - what proves that a profile makes the bytes of its peer
 */
#ifndef MXQ_PROFILE_EVIDENCE_H
#define MXQ_PROFILE_EVIDENCE_H

struct mxq_profile_evidence {
    const char *profile;
    const char *peer;    /* the program that has these bytes */
    const char *version; /* a release, or the commits of its sources */
    const char *how;     /* how the bytes were found out */
};

/* Of the profile with this name; never NULL: of one that nothing is known about it says so. */
const struct mxq_profile_evidence *mxq_find_profile_evidence(const char *profile);

#endif /* MXQ_PROFILE_EVIDENCE_H */
