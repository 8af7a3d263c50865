/* synth_words.h - the words that generated catalogues are made of.  Immutable: any thread. */
#pragma once

enum {
    SYNTH_TOPICS = 24,
    SYNTH_THEMES = 5, /* themes of a topic */
    SYNTH_WORDS = 6,  /* title words of a topic */
    SYNTH_TYPES = 12,
    SYNTH_FIRST_NAMES = 40,
    SYNTH_LAST_NAMES = 48,
    SYNTH_COUNTRIES = 8,
    SYNTH_AGE_BANDS = 5
};

typedef struct synth_topic {
    const char *genre;
    const char *themes[SYNTH_THEMES];
    const char *nouns[SYNTH_WORDS];
    const char *adjectives[SYNTH_WORDS];
} synth_topic;

extern const synth_topic synth_topics[SYNTH_TOPICS];
extern const char *const synth_types[SYNTH_TYPES]; /* the first is the densest */
extern const char *const synth_nouns[SYNTH_TYPES]; /* what one of the type is called in a text */
extern const char *const synth_first_names[SYNTH_FIRST_NAMES];
extern const char *const synth_last_names[SYNTH_LAST_NAMES];
extern const char *const synth_countries[SYNTH_COUNTRIES];
extern const char *const synth_age_bands[SYNTH_AGE_BANDS];
