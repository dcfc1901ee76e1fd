/* Strict JSON (RFC 8259) over bytes, for callers that may answer "not certain".
 *
 * Every function returns the place behind what it read, or NULL when it is not certain: malformed JSON, and also
 * the legal oddities that two parsers may read differently (duplicate or escaped keys, surrogate escapes, integers
 * beyond 18 digits, three-digit exponents). Nothing is read at or behind `end`. No allocation, no Python.
 */
#ifndef UNMOGROWP_JSON_SCAN_H
#define UNMOGROWP_JSON_SCAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { ESCAPED = 1, WIDE = 2 }; /* what a string holds: a backslash, a byte above ASCII */

#define KEYS_MAX 64        /* per object; more is left to the slow path, because duplicates are found pairwise */
#define INTEGER_DIGITS 18  /* the most that surely fit 64 bits */
#define MANTISSA_BYTES 100 /* with a two-digit exponent still far below a double's 1e308 */
#define EXPONENT_DIGITS 2

static inline const uint8_t *skip_space(const uint8_t *p, const uint8_t *end) {
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) p++;
    return p;
}

static inline int is_digit(uint8_t b) { return b >= '0' && b <= '9'; }

static inline int is_hex(uint8_t b) {
    return is_digit(b) || (b >= 'a' && b <= 'f') || (b >= 'A' && b <= 'F');
}

/* Behind one well-formed UTF-8 sequence above ASCII (no overlong form, no surrogate, at most U+10FFFF). */
static inline const uint8_t *utf8_end(const uint8_t *p, const uint8_t *end) {
    ptrdiff_t room = end - p;
    uint8_t lead = p[0];
#define TAIL(n) ((p[n] & 0xC0) == 0x80)
    if (lead >= 0xC2 && lead <= 0xDF) return room >= 2 && TAIL(1) ? p + 2 : NULL;
    if (lead >= 0xE0 && lead <= 0xEF) {
        if (room < 3 || !TAIL(1) || !TAIL(2)) return NULL;
        if (lead == 0xE0 && p[1] < 0xA0) return NULL;
        if (lead == 0xED && p[1] > 0x9F) return NULL;
        return p + 3;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        if (room < 4 || !TAIL(1) || !TAIL(2) || !TAIL(3)) return NULL;
        if (lead == 0xF0 && p[1] < 0x90) return NULL;
        if (lead == 0xF4 && p[1] > 0x8F) return NULL;
        return p + 4;
    }
#undef TAIL
    return NULL;
}

/* Behind one escape; `p` is at the backslash. Surrogates are not certain: alone they are no text. */
static inline const uint8_t *escape_end(const uint8_t *p, const uint8_t *end) {
    if (end - p < 2) return NULL;
    switch (p[1]) {
    case '"': case '\\': case '/': case 'b': case 'f': case 'n': case 'r': case 't':
        return p + 2;
    case 'u':
        if (end - p < 6 || !is_hex(p[2]) || !is_hex(p[3]) || !is_hex(p[4]) || !is_hex(p[5])) return NULL;
        if ((p[2] == 'd' || p[2] == 'D') && p[3] >= '8') return NULL; /* letters are above '8' too */
        return p + 6;
    default:
        return NULL;
    }
}

/* The closing quote of a string; `p` is behind the opening one. */
static inline const uint8_t *string_end(const uint8_t *p, const uint8_t *end, unsigned *flags) {
    while (p < end) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        if (end - p >= 8) { /* eight bytes at once: stop at the first that is quote, backslash, control or wide */
            const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
            uint64_t word, quotes, slashes, stops;
            memcpy(&word, p, 8);
            quotes = word ^ (ones * '"');
            slashes = word ^ (ones * '\\');
            stops = (((quotes - ones) & ~quotes) | ((slashes - ones) & ~slashes) | ((word - ones * 0x20) & ~word) | word) & highs;
            if (!stops) { p += 8; continue; }
            p += __builtin_ctzll(stops) >> 3;
        }
#endif
        uint8_t byte = *p;
        if (byte == '"') return p;
        if (byte < 0x20) return NULL;
        if (byte == '\\') {
            *flags |= ESCAPED;
            p = escape_end(p, end);
        } else if (byte >= 0x80) {
            *flags |= WIDE;
            p = utf8_end(p, end);
        } else {
            p++;
        }
        if (!p) return NULL;
    }
    return NULL;
}

static inline const uint8_t *number_end(const uint8_t *p, const uint8_t *end, int *is_integer) {
    const uint8_t *start = p, *digits;
    *is_integer = 1;
    if (p < end && *p == '-') p++;
    digits = p;
    while (p < end && is_digit(*p)) p++;
    if (p == digits || (*digits == '0' && p - digits > 1) || p - digits > INTEGER_DIGITS) return NULL;
    if (p < end && *p == '.') {
        const uint8_t *fraction = ++p;
        *is_integer = 0;
        while (p < end && is_digit(*p)) p++;
        if (p == fraction) return NULL;
    }
    if (p - start > MANTISSA_BYTES) return NULL;
    if (p < end && (*p == 'e' || *p == 'E')) {
        const uint8_t *exponent;
        *is_integer = 0;
        p++;
        if (p < end && (*p == '+' || *p == '-')) p++;
        exponent = p;
        while (p < end && is_digit(*p)) p++;
        if (p == exponent || p - exponent > EXPONENT_DIGITS) return NULL;
    }
    return p;
}

/* A key's hash, to find duplicates: a collision only makes the scan uncertain. */
static inline uint64_t hash_bytes(const uint8_t *p, size_t size, uint64_t hash) {
    const uint64_t odd = 0x9E3779B97F4A7C15u; /* 2^64 over the golden ratio */
    uint64_t word;
    hash ^= size * odd;
    for (; size >= 8; p += 8, size -= 8) {
        memcpy(&word, p, 8);
        hash = (hash ^ word) * odd;
        hash ^= hash >> 32;
    }
    word = 0;
    memcpy(&word, p, size);
    hash = (hash ^ word) * odd;
    return hash ^ (hash >> 29);
}

static const uint8_t *value_end(const uint8_t *p, const uint8_t *end, int depth, int depth_max);

static inline const uint8_t *literal_end(const uint8_t *p, const uint8_t *end) {
    if (end - p >= 4 && (!memcmp(p, "true", 4) || !memcmp(p, "null", 4))) return p + 4;
    return end - p >= 5 && !memcmp(p, "false", 5) ? p + 5 : NULL;
}

static const uint8_t *array_end(const uint8_t *p, const uint8_t *end, int depth, int depth_max) {
    p = skip_space(p + 1, end);
    if (p < end && *p == ']') return p + 1;
    while ((p = value_end(p, end, depth, depth_max))) {
        p = skip_space(p, end);
        if (p >= end) return NULL;
        if (*p == ']') return p + 1;
        if (*p != ',') return NULL;
        p = skip_space(p + 1, end);
    }
    return NULL;
}

static const uint8_t *object_end(const uint8_t *p, const uint8_t *end, int depth, int depth_max) {
    uint64_t keys[KEYS_MAX];
    int count = 0;
    p = skip_space(p + 1, end);
    if (p < end && *p == '}') return p + 1;
    for (;;) {
        unsigned flags = 0;
        const uint8_t *key = p + 1;
        if (p >= end || *p != '"' || !(p = string_end(key, end, &flags)) || flags & ESCAPED) return NULL;
        if (count == KEYS_MAX) return NULL;
        keys[count] = hash_bytes(key, (size_t)(p - key), 0);
        for (int i = 0; i < count; i++)
            if (keys[i] == keys[count]) return NULL;
        count++;
        p = skip_space(p + 1, end);
        if (p >= end || *p != ':') return NULL;
        if (!(p = value_end(skip_space(p + 1, end), end, depth, depth_max))) return NULL;
        p = skip_space(p, end);
        if (p >= end) return NULL;
        if (*p == '}') return p + 1;
        if (*p != ',') return NULL;
        p = skip_space(p + 1, end);
    }
}

/* Behind any value. `depth` counts the arrays and objects around it. */
static const uint8_t *value_end(const uint8_t *p, const uint8_t *end, int depth, int depth_max) {
    unsigned flags = 0;
    int is_integer;
    if (p >= end) return NULL;
    switch (*p) {
    case '"':
        p = string_end(p + 1, end, &flags);
        return p ? p + 1 : NULL;
    case '{':
        return depth < depth_max ? object_end(p, end, depth + 1, depth_max) : NULL;
    case '[':
        return depth < depth_max ? array_end(p, end, depth + 1, depth_max) : NULL;
    case 't': case 'f': case 'n':
        return literal_end(p, end);
    default:
        return number_end(p, end, &is_integer);
    }
}

#endif
