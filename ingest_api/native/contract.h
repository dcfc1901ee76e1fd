/* A compiled contract, and whether one event surely meets it.
 *
 * Rules cover the part of JSON Schema that the event schemas use; what a rule does not cover is not certain, and
 * the caller asks the full validator. So an answer of "certain" must never be wrong, and "not certain" costs time
 * only. The rules are made in `fast_lane.py`; the numbers of the operations are shared with it.
 */
#ifndef UNMOGROWP_CONTRACT_H
#define UNMOGROWP_CONTRACT_H

#include <arpa/inet.h>

#include "json_scan.h"

enum Operation {
    OP_TEXT = 0,      /* minimum to maximum characters */
    OP_ONE_OF = 1,    /* one of the options */
    OP_UUID = 2,
    OP_TIME = 3,      /* RFC 3339 with a zone */
    OP_CAPITALS = 4,  /* exactly `minimum` letters A-Z */
    OP_ADDRESS = 5,   /* IPv4 or IPv6 */
    OP_INTEGER = 6,   /* minimum to maximum */
    OP_FREE = 7,      /* any object */
    OP_MEMBERS = 8,   /* an object of `members` */
    OP_TENANT = 9,    /* the tenant of the request */
    OP_EVENT_ID = 10, /* as OP_UUID; it names the event */
    OP_EVENT_TIME = 11, /* as OP_TIME; within the window */
    OP_TYPE = 12,     /* the type's own name */
};

#define MEMBERS_MAX 32 /* fields of an event; the widest has 22 */
#define PERSONAL_MAX 8 /* personal fields of an event; the schemas mark 4 */
#define ADDRESS_CHARS_MAX 45

typedef struct {
    const uint8_t *start;
    uint32_t size;
} Span;

typedef struct Rule {
    Span name;
    uint8_t operation, is_required, personal_kind; /* 0: not personal */
    int64_t minimum, maximum;
    Span *options;
    int option_count;
    struct Rule *members;
    int member_count;
} Rule;

typedef struct {
    Span name;
    Rule *rules;
    int rule_count;
} EventType;

typedef struct {
    EventType *types;
    int type_count, default_type;
} Contract;

typedef struct { /* what one request demands of its events */
    Span tenant;
    int64_t oldest_us, newest_us;
    size_t event_bytes_max;
    int depth_max;
} Demands;

typedef struct {
    uint8_t kind;
    Span value;
} Personal;

typedef struct { /* what a certain event says */
    Span event, id;
    int64_t time_us;
    int type, personal_count;
    Personal personal[PERSONAL_MAX];
} Facts;

typedef struct {
    Span name, value; /* a string's value is what stands between its quotes */
    uint8_t kind;     /* its first byte; '0' for an integer */
    uint8_t flags;
} Field;

/* Equality of short texts, in words that overlap: a call of memcmp for each field's name took 4 % of a landing. */
static inline int are_same(const uint8_t *a, const uint8_t *b, size_t size) {
    uint64_t of_a, of_b;
    if (size < 8) {
        for (size_t i = 0; i < size; i++)
            if (a[i] != b[i]) return 0;
        return 1;
    }
    for (size_t at = 0; at + 8 < size; at += 8) {
        memcpy(&of_a, a + at, 8), memcpy(&of_b, b + at, 8);
        if (of_a != of_b) return 0;
    }
    memcpy(&of_a, a + size - 8, 8), memcpy(&of_b, b + size - 8, 8);
    return of_a == of_b;
}

static inline int is_span(Span span, const uint8_t *start, size_t size) {
    return span.size == size && are_same(span.start, start, size);
}

/* The fields of an object at `p`; returns the place behind it. */
static const uint8_t *fields_of(const uint8_t *p, const uint8_t *end, int depth, int depth_max, Field *fields, int *count) {
    *count = 0;
    if (p >= end || *p != '{') return NULL;
    p = skip_space(p + 1, end);
    if (p < end && *p == '}') return p + 1;
    for (;;) {
        unsigned flags = 0;
        int is_integer = 0;
        Field *field = &fields[*count];
        const uint8_t *start = p + 1;
        if (*count == MEMBERS_MAX || p >= end || *p != '"') return NULL;
        if (!(p = string_end(start, end, &flags)) || flags & ESCAPED) return NULL;
        field->name = (Span){start, (uint32_t)(p - start)};
        p = skip_space(p + 1, end);
        if (p >= end || *p != ':') return NULL;
        p = skip_space(p + 1, end);
        if (p >= end) return NULL;
        flags = 0;
        field->kind = *p;
        start = p;
        if (*p == '"') {
            start = p + 1;
            if (!(p = string_end(start, end, &flags))) return NULL;
            field->value = (Span){start, (uint32_t)(p - start)};
            p++;
        } else {
            if (*p == '-' || is_digit(*p)) {
                p = number_end(p, end, &is_integer);
                field->kind = is_integer ? '0' : '.';
            } else {
                p = value_end(p, end, depth, depth_max);
            }
            if (!p) return NULL;
            field->value = (Span){start, (uint32_t)(p - start)};
        }
        field->flags = (uint8_t)flags;
        (*count)++;
        p = skip_space(p, end);
        if (p >= end) return NULL;
        if (*p == '}') return p + 1;
        if (*p != ',') return NULL;
        p = skip_space(p + 1, end);
    }
}

static inline int two_digits(const uint8_t *p) {
    return is_digit(p[0]) && is_digit(p[1]) ? (p[0] - '0') * 10 + (p[1] - '0') : -1;
}

static inline int days_of_month(int year, int month) {
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && is_leap ? 29 : days[month - 1];
}

/* Days from 1970-01-01 to a Gregorian date: years counted from March, so that the leap day comes last. */
static inline int64_t days_of_date(int year, int month, int day) {
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t month_from_march = (month + 9) % 12;
    int64_t day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    return 365 * y + y / 4 - y / 100 + y / 400 + day_of_year - 719468;
}

/* `2026-11-02T08:30:00.123456+01:00` as microseconds since 1970; what is legal but rare is not certain. */
static int time_us_of(Span text, int64_t *time_us) {
    const uint8_t *p = text.start, *end = p + text.size;
    int century, year, month, day, hour, minute, second, zone_hours = 0, zone_minutes = 0, sign = 0;
    int64_t fraction_us = 0, unit_us = 100000;
    if (text.size < 20 || p[4] != '-' || p[7] != '-' || p[10] != 'T' || p[13] != ':' || p[16] != ':') return 0;
    century = two_digits(p), year = two_digits(p + 2), month = two_digits(p + 5), day = two_digits(p + 8);
    hour = two_digits(p + 11), minute = two_digits(p + 14), second = two_digits(p + 17);
    if (century < 19 || year < 0 || month < 1 || month > 12 || day < 1) return 0;
    year += century * 100;
    if (day > days_of_month(year, month) || hour < 0 || hour > 23 || minute < 0 || minute > 59) return 0;
    if (second < 0 || second > 59) return 0; /* leap seconds are the slow path's */
    p += 19;
    if (*p == '.') {
        const uint8_t *digits = ++p;
        for (; p < end && is_digit(*p); p++, unit_us /= 10) fraction_us += (*p - '0') * unit_us;
        if (p == digits || p - digits > 6 || p >= end) return 0;
    }
    if (*p == 'Z') {
        if (p + 1 != end) return 0;
    } else {
        if (end - p != 6 || (*p != '+' && *p != '-') || p[3] != ':') return 0;
        sign = *p == '+' ? 1 : -1;
        zone_hours = two_digits(p + 1), zone_minutes = two_digits(p + 4);
        if (zone_hours < 0 || zone_hours > 23 || zone_minutes < 0 || zone_minutes > 59) return 0;
    }
    *time_us = ((days_of_date(year, month, day) * 86400 + hour * 3600 + minute * 60 + second
                 - sign * (zone_hours * 3600 + zone_minutes * 60)) * 1000000) + fraction_us;
    return 1;
}

static int is_uuid(Span text) {
    if (text.size != 36) return 0;
    for (int i = 0; i < 36; i++) {
        int is_hyphen = i == 8 || i == 13 || i == 18 || i == 23;
        if (is_hyphen ? text.start[i] != '-' : !is_hex(text.start[i])) return 0;
    }
    return 1;
}

static int is_address(Span text) {
    char copy[ADDRESS_CHARS_MAX + 1];
    uint8_t parsed[16];
    if (text.size > ADDRESS_CHARS_MAX || memchr(text.start, 0, text.size)) return 0;
    memcpy(copy, text.start, text.size);
    copy[text.size] = 0;
    return inet_pton(strchr(copy, ':') ? AF_INET6 : AF_INET, copy, parsed) == 1;
}

static int has_length(const Field *field, int64_t minimum, int64_t maximum) {
    int64_t characters = field->value.size;
    if (field->flags & WIDE)
        for (uint32_t i = 0; i < field->value.size; i++) characters -= (field->value.start[i] & 0xC0) == 0x80;
    return characters >= minimum && characters <= maximum;
}

static int is_integer_within(Span text, int64_t minimum, int64_t maximum) {
    int64_t value = 0;
    const uint8_t *p = text.start, *end = p + text.size;
    int is_negative = *p == '-';
    for (p += is_negative; p < end; p++) value = value * 10 + (*p - '0'); /* at most INTEGER_DIGITS */
    value = is_negative ? -value : value;
    return value >= minimum && value <= maximum;
}

static int is_option(const Rule *rule, Span text) {
    for (int i = 0; i < rule->option_count; i++)
        if (is_span(rule->options[i], text.start, text.size)) return 1;
    return 0;
}

static int meets_rules(const Rule *, int, const Field *, int, const Demands *, Facts *);

static int has_members(const Rule *rule, Span object, const Demands *demands, Facts *facts) {
    Field fields[MEMBERS_MAX];
    int count;
    const uint8_t *end = object.start + object.size;
    if (fields_of(object.start, end, 2, demands->depth_max, fields, &count) != end) return 0;
    return meets_rules(rule->members, rule->member_count, fields, count, demands, facts);
}

static int meets_rule(const Rule *rule, const Field *field, const Demands *demands, Facts *facts) {
    int64_t time_us;
    if (rule->operation == OP_INTEGER) return field->kind == '0' && is_integer_within(field->value, rule->minimum, rule->maximum);
    if (rule->operation == OP_FREE) return field->kind == '{';
    if (rule->operation == OP_MEMBERS) return field->kind == '{' && has_members(rule, field->value, demands, facts);
    if (field->kind != '"' || field->flags & ESCAPED) return 0;
    switch (rule->operation) {
    case OP_TEXT:
        return has_length(field, rule->minimum, rule->maximum);
    case OP_ONE_OF:
        return is_option(rule, field->value);
    case OP_TYPE:
        return 1; /* by it the rules were chosen */
    case OP_TENANT:
        return is_span(demands->tenant, field->value.start, field->value.size);
    case OP_EVENT_ID:
        facts->id = field->value;
        return is_uuid(field->value);
    case OP_UUID:
        return is_uuid(field->value);
    case OP_EVENT_TIME:
        return time_us_of(field->value, &facts->time_us) && facts->time_us >= demands->oldest_us &&
               facts->time_us <= demands->newest_us;
    case OP_TIME:
        return time_us_of(field->value, &time_us);
    case OP_CAPITALS:
        if (field->value.size != rule->minimum) return 0;
        for (uint32_t i = 0; i < field->value.size; i++)
            if (field->value.start[i] < 'A' || field->value.start[i] > 'Z') return 0;
        return 1;
    case OP_ADDRESS:
        return is_address(field->value);
    default:
        return 0;
    }
}

static int meets_rules(const Rule *rules, int rule_count, const Field *fields, int count, const Demands *demands, Facts *facts) {
    uint64_t seen = 0;
    int at = 0;
    for (int i = 0; i < count; i++) {
        int tried = 0; /* fields mostly come in the order of the rules, so look on from the last one found */
        while (tried < rule_count && !is_span(rules[at].name, fields[i].name.start, fields[i].name.size)) {
            at = at + 1 == rule_count ? 0 : at + 1;
            tried++;
        }
        if (tried == rule_count || seen >> at & 1) return 0; /* an unknown field, or one twice */
        seen |= (uint64_t)1 << at;
        if (!meets_rule(&rules[at], &fields[i], demands, facts)) return 0;
        if (rules[at].personal_kind) {
            if (facts->personal_count == PERSONAL_MAX) return 0;
            facts->personal[facts->personal_count++] = (Personal){rules[at].personal_kind, fields[i].value};
        }
    }
    for (int i = 0; i < rule_count; i++)
        if (rules[i].is_required && !(seen >> i & 1)) return 0;
    return 1;
}

static int type_of(const Contract *contract, const Field *fields, int count) {
    for (int i = 0; i < count; i++) {
        if (!is_span(fields[i].name, (const uint8_t *)"eventType", 9)) continue;
        if (fields[i].kind != '"' || fields[i].flags & ESCAPED) return -1;
        for (int type = 0; type < contract->type_count; type++)
            if (is_span(contract->types[type].name, fields[i].value.start, fields[i].value.size)) return type;
        return -1;
    }
    return contract->default_type;
}

/* The place behind the event at `p` when it is certain; fills `facts`. */
static const uint8_t *certain_event(const Contract *contract, const Demands *demands, const uint8_t *p, const uint8_t *end, Facts *facts) {
    Field fields[MEMBERS_MAX];
    int count;
    const uint8_t *start = p;
    if (!(p = fields_of(p, end, 1, demands->depth_max, fields, &count))) return NULL;
    if ((size_t)(p - start) > demands->event_bytes_max) return NULL;
    facts->event = (Span){start, (uint32_t)(p - start)};
    facts->personal_count = 0;
    facts->type = type_of(contract, fields, count);
    if (facts->type < 0) return NULL;
    const EventType *type = &contract->types[facts->type];
    return meets_rules(type->rules, type->rule_count, fields, count, demands, facts) ? p : NULL;
}

#endif
