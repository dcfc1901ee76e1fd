/* Events of many bodies as columns, their personal values replaced by the tokens of `values.h`.
 *
 * Spans point into bodies that the caller keeps alive, or says are away for a while: then they are offsets. No Python.
 */
#ifndef UNMOGROWP_COLUMNS_H
#define UNMOGROWP_COLUMNS_H

#include "deliveries.h"
#include "values.h"

#define ID_BYTES 36

enum Added { ADDED_ALL, ADDED_NOTHING, ADDED_NO_MEMORY };
enum { DEVICE_KIND = 1, USER_KIND = 2 }; /* the kinds that name a subject, best first; see fast_lane.py */

typedef struct { /* a personal field of an event: where it stands, and which value it holds */
    const uint8_t *start;
    uint32_t value;
} Place;

typedef struct {
    Span event, id;
    int64_t time_us;
    uint32_t first_place;
    uint8_t place_count, type, is_here;
} Row;

typedef struct {
    Values *values; /* the caller's, who keeps them alive */
    Row *rows;
    Place *places;
    size_t event_count, rows_room, place_count, places_room;
} Columns;

/* An event that was scanned, and is taken a few events later, when its values are in the cache. */
typedef struct {
    Facts facts;
    uint64_t hashes[PERSONAL_MAX];
} Scanned;

#define SEEK_AHEAD 12 /* events between asking for a slot and using it; 8 and 16 are as good, 0 costs 0.1 µs an event */
#define NEAR_AHEAD 8
#define AT_AHEAD 4
#define SCANNED_MAX 16 /* a power of two, above SEEK_AHEAD */

static inline void copy_id(char *target, Span id) {
    for (int i = 0; i < ID_BYTES; i++) {
        uint8_t byte = id.start[i];
        target[i] = (char)(byte >= 'A' && byte <= 'F' ? byte | 0x20 : byte);
    }
}

static void columns_free(Columns *columns) { free(columns->rows), free(columns->places); }

/* Sorts an event's personal fields by where they stand; at most PERSONAL_MAX, mostly in order already. */
static void sort_places(Place *places, int count) {
    for (int i = 1; i < count; i++) {
        Place place = places[i];
        int at = i;
        for (; at > 0 && places[at - 1].start > place.start; at--) places[at] = places[at - 1];
        places[at] = place;
    }
}

static int take_event(Columns *columns, const Scanned *scanned, int tenant) {
    const Facts *facts = &scanned->facts;
    int64_t subject = -1;
    int subject_kind = USER_KIND + 1;
    if (!has_room((void **)&columns->rows, columns->event_count, &columns->rows_room, sizeof(Row))) return 0;
    size_t first = columns->place_count;
    for (int i = 0; i < facts->personal_count; i++) {
        const Personal *personal = &facts->personal[i];
        int64_t value = value_place(columns->values, personal, scanned->hashes[i], tenant);
        if (value < 0 || !has_room((void **)&columns->places, columns->place_count, &columns->places_room, sizeof(Place))) return 0;
        columns->places[columns->place_count++] = (Place){personal->value.start, (uint32_t)value};
        if (personal->kind < subject_kind) {
            subject_kind = personal->kind;
            subject = value;
        }
    }
    for (size_t i = first; i < columns->place_count; i++) {
        uint32_t value = columns->places[i].value;
        if (!take_pair(columns->values, (Pair){subject < 0 ? value : (uint32_t)subject, value})) return 0;
    }
    sort_places(columns->places + first, facts->personal_count);
    columns->rows[columns->event_count++] = (Row){facts->event, facts->id, facts->time_us, (uint32_t)first,
                                                 (uint8_t)facts->personal_count, (uint8_t)facts->type, 1};
    return 1;
}

/* Has the values of the scanned events on their way into the cache: each event comes closer by one step of these. */
static void fetch_ahead(const Values *values, Scanned *ring, size_t scanned, int tenant) {
    Scanned *newest = &ring[scanned % SCANNED_MAX];
    for (int i = 0; i < newest->facts.personal_count; i++) {
        newest->hashes[i] = value_hash(&newest->facts.personal[i], tenant);
        values_seek(values, newest->hashes[i]);
    }
    if (scanned >= SEEK_AHEAD - NEAR_AHEAD) {
        const Scanned *next = &ring[(scanned - (SEEK_AHEAD - NEAR_AHEAD)) % SCANNED_MAX];
        for (int i = 0; i < next->facts.personal_count; i++) values_near(values, next->hashes[i]);
    }
    if (scanned >= SEEK_AHEAD - AT_AHEAD) {
        const Scanned *next = &ring[(scanned - (SEEK_AHEAD - AT_AHEAD)) % SCANNED_MAX];
        for (int i = 0; i < next->facts.personal_count; i++) values_at(values, next->hashes[i]);
    }
}

/* Takes a body's events, all or none. Values of a body that is not taken stay: the slow path meets them too. */
static enum Added columns_add_body(Columns *columns, const Contract *contract, const Demands *demands, Deliveries body,
                                   int tenant, size_t count_expected) {
    size_t events_before = columns->event_count, places_before = columns->place_count;
    size_t scanned = 0, taken = 0;
    Scanned ring[SCANNED_MAX];
    int outcome = 0, has_memory = 1;
    while (has_memory && (outcome = next_delivery(&body, contract, demands, &ring[scanned % SCANNED_MAX].facts)) > 0) {
        fetch_ahead(columns->values, ring, scanned++, tenant);
        if (scanned > SEEK_AHEAD) has_memory = take_event(columns, &ring[taken++ % SCANNED_MAX], tenant);
    }
    while (has_memory && outcome == 0 && taken < scanned)
        has_memory = take_event(columns, &ring[taken++ % SCANNED_MAX], tenant);
    if (has_memory && outcome == 0 && taken == count_expected) return ADDED_ALL;
    columns->event_count = events_before;
    columns->place_count = places_before;
    return has_memory ? ADDED_NOTHING : ADDED_NO_MEMORY;
}

/* Whether these are places of rows whose bodies are still there. */
static int are_places(const Columns *columns, const int64_t *places, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (places[i] < 0 || (uint64_t)places[i] >= columns->event_count || !columns->rows[places[i]].is_here) return 0;
    return 1;
}

/* Has nobody read these rows: their body goes. */
static void leave_rows(Columns *columns, size_t first, size_t count) {
    for (size_t i = first; i < first + count; i++) columns->rows[i].is_here = 0;
}

static inline const uint8_t *moved(const uint8_t *start, uintptr_t from, uintptr_t to) {
    return (const uint8_t *)((uintptr_t)start - from + to);
}

/* The spans of these rows, whose body was at one address and is at another; 0 stands for away. */
static void move_rows(Columns *columns, size_t first, size_t count, uintptr_t from, uintptr_t to) {
    for (size_t i = first; i < first + count; i++) {
        Row *row = &columns->rows[i];
        row->event.start = moved(row->event.start, from, to);
        row->id.start = moved(row->id.start, from, to);
        for (uint32_t at = 0; at < row->place_count; at++) {
            Place *place = &columns->places[row->first_place + at];
            place->start = moved(place->start, from, to);
        }
        row->is_here = to != 0;
    }
}

/* Where each event's body begins once its values are replaced, of the rows at these places; returns the bytes of all. */
static int64_t columns_offsets(const Columns *columns, const int64_t *rows, size_t count, int64_t *offsets) {
    const Value *values = columns->values->items;
    int64_t total = 0;
    for (size_t i = 0; i < count; i++) {
        const Row *row = &columns->rows[rows[i]];
        offsets[i] = total;
        total += row->event.size;
        for (int place = 0; place < row->place_count; place++) {
            const Value *value = &values[columns->places[row->first_place + (uint32_t)place].value];
            total += (int64_t)value->token_size - (int64_t)value->size;
        }
    }
    offsets[count] = total;
    return total;
}

static void columns_fill(const Columns *columns, const int64_t *rows, size_t count, char *bodies, char *ids) {
    const Values *values = columns->values;
    for (size_t i = 0; i < count; i++) {
        const Row *row = &columns->rows[rows[i]];
        const uint8_t *from = row->event.start, *end = from + row->event.size;
        for (int at = 0; at < row->place_count; at++) {
            const Place *place = &columns->places[row->first_place + (uint32_t)at];
            const Value *value = &values->items[place->value];
            memcpy(bodies, from, (size_t)(place->start - from));
            bodies += place->start - from;
            memcpy(bodies, values->texts + value->token, value->token_size);
            bodies += value->token_size;
            from = place->start + value->size;
        }
        memcpy(bodies, from, (size_t)(end - from));
        bodies += end - from;
        copy_id(ids + i * ID_BYTES, row->id);
    }
}

#endif
