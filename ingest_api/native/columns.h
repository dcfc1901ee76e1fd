/* Events of many bodies as columns: personal values gathered once each, then replaced by their tokens.
 *
 * Spans point into bodies that the caller keeps alive. No Python here.
 */
#ifndef UNMOGROWP_COLUMNS_H
#define UNMOGROWP_COLUMNS_H

#include <stdlib.h>

#include "deliveries.h"

#define ID_BYTES 36

enum Added { ADDED_ALL, ADDED_NOTHING, ADDED_NO_MEMORY };
enum { DEVICE_KIND = 1, USER_KIND = 2 }; /* the kinds that name a subject, best first; see fast_lane.py */

typedef struct {
    uint64_t hash;
    size_t text; /* where it begins in the texts: copied there, because compared in place every look is a cache miss */
    uint32_t size;
    int16_t kind;
    int tenant;
} Value;

typedef struct {
    uint32_t subject, value; /* places in the values */
} Pair;

typedef struct { /* a personal field of an event: where it stands, and which value it holds */
    const uint8_t *start;
    uint32_t value;
} Place;

typedef struct {
    Span event, id;
    int64_t time_us;
    uint32_t first_place;
    uint8_t place_count, type;
} Row;

typedef struct { /* hash → place of an item, 0 for none; as large as twice the items */
    uint32_t *slots;
    size_t size, count;
} Table;

typedef struct {
    Row *rows;
    Place *places;
    char *texts;
    Value *value_items;
    Pair *pair_items;
    Table values, pairs;
    size_t event_count, rows_room, place_count, places_room, values_room, pairs_room, texts_size, texts_room;
} Columns;

static inline void copy_id(char *target, Span id) {
    for (int i = 0; i < ID_BYTES; i++) {
        uint8_t byte = id.start[i];
        target[i] = (char)(byte >= 'A' && byte <= 'F' ? byte | 0x20 : byte);
    }
}

/* Room for one more item. */
static int has_room(void **items, size_t count, size_t *room, size_t item_bytes) {
    if (count < *room) return 1;
    size_t more = *room ? *room * 2 : 1024;
    void *moved = realloc(*items, more * item_bytes);
    if (!moved) return 0;
    *items = moved;
    *room = more;
    return 1;
}

static int table_init(Table *table, size_t size) {
    table->slots = calloc(size, sizeof(uint32_t));
    table->size = size;
    table->count = 0;
    return table->slots != NULL;
}

static int columns_init(Columns *columns) {
    memset(columns, 0, sizeof(*columns));
    return table_init(&columns->values, 4096) && table_init(&columns->pairs, 4096);
}

static void columns_free(Columns *columns) {
    free(columns->rows), free(columns->places), free(columns->texts), free(columns->value_items), free(columns->pair_items);
    free(columns->values.slots), free(columns->pairs.slots);
}

static uint64_t pair_hash(const Pair *pair) { return hash_bytes((const uint8_t *)pair, sizeof(*pair), 0); }

static void table_put(Table *table, uint64_t hash, uint32_t place) {
    size_t slot = hash & (table->size - 1);
    while (table->slots[slot]) slot = (slot + 1) & (table->size - 1);
    table->slots[slot] = place + 1;
}

static int table_grow(Columns *columns, Table *table) {
    Table larger;
    if (!table_init(&larger, table->size * 2)) return 0;
    for (uint32_t i = 0; i < table->count; i++)
        table_put(&larger, table == &columns->values ? columns->value_items[i].hash : pair_hash(&columns->pair_items[i]), i);
    larger.count = table->count;
    free(table->slots);
    *table = larger;
    return 1;
}

/* Whether the text was copied behind the others. */
static int copy_text(Columns *columns, Span text) {
    if (columns->texts_size + text.size > columns->texts_room) {
        size_t room = (columns->texts_room + text.size) * 2;
        char *moved = realloc(columns->texts, room);
        if (!moved) return 0;
        columns->texts = moved;
        columns->texts_room = room;
    }
    memcpy(columns->texts + columns->texts_size, text.start, text.size);
    columns->texts_size += text.size;
    return 1;
}

/* The place of a value, taken in when it is new; -1 without memory. */
static int64_t value_place(Columns *columns, const Personal *personal, int tenant) {
    Table *table = &columns->values;
    Span text = personal->value;
    uint64_t hash = hash_bytes(text.start, text.size, ((uint64_t)tenant << 8) | personal->kind);
    for (size_t slot = hash & (table->size - 1); table->slots[slot]; slot = (slot + 1) & (table->size - 1)) {
        const Value *known = &columns->value_items[table->slots[slot] - 1];
        if (known->hash == hash && known->tenant == tenant && known->kind == personal->kind &&
            known->size == text.size && !memcmp(columns->texts + known->text, text.start, text.size))
            return table->slots[slot] - 1;
    }
    if (!has_room((void **)&columns->value_items, table->count, &columns->values_room, sizeof(Value))) return -1;
    if (table->count * 2 >= table->size && !table_grow(columns, table)) return -1;
    if (!copy_text(columns, text)) return -1;
    columns->value_items[table->count] =
        (Value){hash, columns->texts_size - text.size, text.size, personal->kind, tenant};
    table_put(table, hash, (uint32_t)table->count);
    return (int64_t)table->count++;
}

static int take_pair(Columns *columns, Pair pair) {
    Table *table = &columns->pairs;
    uint64_t hash = pair_hash(&pair);
    for (size_t slot = hash & (table->size - 1); table->slots[slot]; slot = (slot + 1) & (table->size - 1)) {
        Pair *known = &columns->pair_items[table->slots[slot] - 1];
        if (known->subject == pair.subject && known->value == pair.value) return 1;
    }
    if (!has_room((void **)&columns->pair_items, table->count, &columns->pairs_room, sizeof(Pair))) return 0;
    if (table->count * 2 >= table->size && !table_grow(columns, table)) return 0;
    columns->pair_items[table->count] = pair;
    table_put(table, hash, (uint32_t)table->count++);
    return 1;
}

/* Sorts an event's personal fields by where they stand; at most PERSONAL_MAX, mostly in order already. */
static void sort_places(Place *places, int count) {
    for (int i = 1; i < count; i++) {
        Place place = places[i];
        int at = i;
        for (; at > 0 && places[at - 1].start > place.start; at--) places[at] = places[at - 1];
        places[at] = place;
    }
}

static int take_event(Columns *columns, const Facts *facts, int tenant) {
    int64_t subject = -1;
    int subject_kind = USER_KIND + 1;
    if (!has_room((void **)&columns->rows, columns->event_count, &columns->rows_room, sizeof(Row))) return 0;
    size_t first = columns->place_count;
    for (int i = 0; i < facts->personal_count; i++) {
        const Personal *personal = &facts->personal[i];
        int64_t value = value_place(columns, personal, tenant);
        if (value < 0 || !has_room((void **)&columns->places, columns->place_count, &columns->places_room, sizeof(Place))) return 0;
        columns->places[columns->place_count++] = (Place){personal->value.start, (uint32_t)value};
        if (personal->kind < subject_kind) {
            subject_kind = personal->kind;
            subject = value;
        }
    }
    for (size_t i = first; i < columns->place_count; i++) {
        uint32_t value = columns->places[i].value;
        if (!take_pair(columns, (Pair){subject < 0 ? value : (uint32_t)subject, value})) return 0;
    }
    sort_places(columns->places + first, facts->personal_count);
    columns->rows[columns->event_count++] = (Row){facts->event, facts->id, facts->time_us, (uint32_t)first,
                                                 (uint8_t)facts->personal_count, (uint8_t)facts->type};
    return 1;
}

/* Takes a body's events, all or none. Values of a body that is not taken stay: the slow path meets them too. */
static enum Added columns_add_body(Columns *columns, const Contract *contract, const Demands *demands, Deliveries body,
                                   int tenant, size_t count_expected) {
    size_t events_before = columns->event_count, places_before = columns->place_count;
    enum Added added = ADDED_NOTHING;
    Facts facts;
    int outcome;
    while ((outcome = next_delivery(&body, contract, demands, &facts)) > 0)
        if (!take_event(columns, &facts, tenant)) {
            added = ADDED_NO_MEMORY;
            break;
        }
    if (outcome == 0 && columns->event_count - events_before == count_expected) return ADDED_ALL;
    columns->event_count = events_before;
    columns->place_count = places_before;
    return added;
}

/* Whether these are places of rows. */
static int are_places(const Columns *columns, const int64_t *places, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (places[i] < 0 || (uint64_t)places[i] >= columns->event_count) return 0;
    return 1;
}

/* Where each event's body begins once its values are replaced, of the rows at these places; returns the bytes of all. */
static int64_t columns_offsets(const Columns *columns, const int64_t *rows, size_t count, const Span *tokens, int64_t *offsets) {
    int64_t total = 0;
    for (size_t i = 0; i < count; i++) {
        const Row *row = &columns->rows[rows[i]];
        offsets[i] = total;
        total += row->event.size;
        for (int place = 0; place < row->place_count; place++) {
            uint32_t value = columns->places[row->first_place + (uint32_t)place].value;
            total += (int64_t)tokens[value].size - (int64_t)columns->value_items[value].size;
        }
    }
    offsets[count] = total;
    return total;
}

static void columns_fill(const Columns *columns, const int64_t *rows, size_t count, const Span *tokens, char *bodies, char *ids) {
    for (size_t i = 0; i < count; i++) {
        const Row *row = &columns->rows[rows[i]];
        const uint8_t *from = row->event.start, *end = from + row->event.size;
        for (int at = 0; at < row->place_count; at++) {
            const Place *place = &columns->places[row->first_place + (uint32_t)at];
            memcpy(bodies, from, (size_t)(place->start - from));
            bodies += place->start - from;
            memcpy(bodies, tokens[place->value].start, tokens[place->value].size);
            bodies += tokens[place->value].size;
            from = place->start + columns->value_items[place->value].size;
        }
        memcpy(bodies, from, (size_t)(end - from));
        bodies += end - from;
        copy_id(ids + i * ID_BYTES, row->id);
    }
}

#endif
