/* A body's deliveries, one by one, in the three ways a body may hold them. */
#ifndef UNMOGROWP_DELIVERIES_H
#define UNMOGROWP_DELIVERIES_H

#include "contract.h"

enum Format { FORMAT_JSON = 0, FORMAT_ARRAY = 1, FORMAT_NDJSON = 2 }; /* `protocol.BodyFormat` */

typedef struct {
    const uint8_t *at, *end;
    enum Format format;
    int is_started, is_finished;
} Deliveries;

/* 1: the next event is in `facts`. 0: there is no more. -1: not certain. */
static int next_line(Deliveries *body, const Contract *contract, const Demands *demands, Facts *facts) {
    while (body->at < body->end) {
        const uint8_t *stop = memchr(body->at, '\n', (size_t)(body->end - body->at));
        const uint8_t *line_end = stop ? stop : body->end;
        const uint8_t *p = skip_space(body->at, line_end);
        body->at = stop ? stop + 1 : body->end;
        if (p == line_end) continue; /* a blank line */
        p = certain_event(contract, demands, p, line_end, facts);
        return p && skip_space(p, line_end) == line_end ? 1 : -1;
    }
    return 0;
}

static int next_element(Deliveries *body, const Contract *contract, const Demands *demands, Facts *facts) {
    const uint8_t *p = skip_space(body->at, body->end);
    if (!body->is_started) {
        if (p >= body->end || *p != '[') return -1;
        p = skip_space(p + 1, body->end);
        body->is_started = 1; /* an empty array is left to the slow path: `]` is no event */
    } else {
        if (p >= body->end) return -1;
        if (*p == ']') {
            body->is_finished = 1;
            return skip_space(p + 1, body->end) == body->end ? 0 : -1;
        }
        if (*p != ',') return -1;
        p = skip_space(p + 1, body->end);
    }
    p = certain_event(contract, demands, p, body->end, facts);
    body->at = p;
    return p ? 1 : -1;
}

static int next_delivery(Deliveries *body, const Contract *contract, const Demands *demands, Facts *facts) {
    if (body->is_finished) return 0;
    if (body->format == FORMAT_NDJSON) return next_line(body, contract, demands, facts);
    if (body->format == FORMAT_ARRAY) return next_element(body, contract, demands, facts);
    const uint8_t *p = certain_event(contract, demands, skip_space(body->at, body->end), body->end, facts);
    body->is_finished = 1;
    return p && skip_space(p, body->end) == body->end ? 1 : -1;
}

#endif
