/* Personal values over many landings: each once, with its token, and of which subjects it was met.
 *
 * No Python here. Looking a value up is three cache misses (slot, value, text), so a caller that knows what it will ask
 * for has them fetched a few events ahead: `values_seek`, then `values_near`, then `values_at`.
 */
#ifndef UNMOGROWP_VALUES_H
#define UNMOGROWP_VALUES_H

#include <stdlib.h>

#include "contract.h"

#define LAST_MASK 3 /* the last value met is kept for four kinds of each subject, as many as there are */

typedef struct {
    uint64_t hash;
    size_t text, token; /* where they begin in the texts: copied there, because the bodies go and they stay */
    uint32_t size, token_size;
    uint32_t last[LAST_MASK + 1]; /* of a subject: which value of a kind it was met with last, as place + 1 */
    int32_t tenant;
    uint8_t kind;
} Value;

typedef struct {
    uint32_t subject, value; /* places in the values */
} Pair;

typedef struct {
    uint32_t tag, place; /* of the hash, to see most mismatches without leaving the slots; place + 1, 0 for none */
} Slot;

typedef struct { /* as large as twice the items */
    Slot *slots;
    size_t size, count;
} Table;

typedef struct {
    Value *items;
    Pair *pair_items;
    char *texts;
    Table table, pairs;
    size_t named, told; /* values that have a token, pairs that somebody else keeps: those before these places */
    size_t items_room, pairs_room, texts_size, texts_room;
} Values;

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
    table->slots = calloc(size, sizeof(Slot));
    table->size = size;
    table->count = 0;
    return table->slots != NULL;
}

static int values_init(Values *values) {
    memset(values, 0, sizeof(*values));
    return table_init(&values->table, 4096) && table_init(&values->pairs, 4096);
}

static void values_free(Values *values) {
    free(values->items), free(values->pair_items), free(values->texts);
    free(values->table.slots), free(values->pairs.slots);
}

static inline uint32_t tag_of(uint64_t hash) { return (uint32_t)(hash >> 32); }

static inline size_t slot_of(const Table *table, uint64_t hash) { return hash & (table->size - 1); }

static uint64_t pair_hash(Pair pair) { return hash_bytes((const uint8_t *)&pair, sizeof(pair), 0); }

static void table_put(Table *table, uint64_t hash, size_t place) {
    size_t slot = slot_of(table, hash);
    while (table->slots[slot].place) slot = (slot + 1) & (table->size - 1);
    table->slots[slot] = (Slot){tag_of(hash), (uint32_t)place + 1};
}

static int table_has_room(Values *values, Table *table) {
    Table larger;
    if (table->count * 2 < table->size) return 1;
    if (!table_init(&larger, table->size * 2)) return 0;
    for (size_t i = 0; i < table->count; i++)
        table_put(&larger, table == &values->table ? values->items[i].hash : pair_hash(values->pair_items[i]), i);
    larger.count = table->count;
    free(table->slots);
    *table = larger;
    return 1;
}

/* Whether the text was copied behind the others. */
static int copy_text(Values *values, const void *text, size_t size) {
    if (values->texts_size + size >= values->texts_room) { /* also the first text where it is empty */
        size_t room = (values->texts_room + size) * 2 + 4096;
        char *moved = realloc(values->texts, room);
        if (!moved) return 0;
        values->texts = moved;
        values->texts_room = room;
    }
    memcpy(values->texts + values->texts_size, text, size);
    values->texts_size += size;
    return 1;
}

static inline uint64_t value_hash(const Personal *personal, int tenant) {
    return hash_bytes(personal->value.start, personal->value.size, ((uint64_t)tenant << 8) | personal->kind);
}

static inline void values_seek(const Values *values, uint64_t hash) {
    __builtin_prefetch(&values->table.slots[slot_of(&values->table, hash)]);
}

static inline void values_near(const Values *values, uint64_t hash) {
    const Slot *slot = &values->table.slots[slot_of(&values->table, hash)];
    if (slot->place) __builtin_prefetch(&values->items[slot->place - 1]);
}

static inline void values_at(const Values *values, uint64_t hash) {
    const Slot *slot = &values->table.slots[slot_of(&values->table, hash)];
    if (slot->place) __builtin_prefetch(values->texts + values->items[slot->place - 1].text);
}

/* The place of a value, taken in when it is new; -1 without memory. */
static int64_t value_place(Values *values, const Personal *personal, uint64_t hash, int tenant) {
    Table *table = &values->table;
    Span text = personal->value;
    for (size_t slot = slot_of(table, hash); table->slots[slot].place; slot = (slot + 1) & (table->size - 1)) {
        if (table->slots[slot].tag != tag_of(hash)) continue;
        const Value *known = &values->items[table->slots[slot].place - 1];
        if (known->hash == hash && known->tenant == tenant && known->kind == personal->kind &&
            known->size == text.size && are_same((const uint8_t *)values->texts + known->text, text.start, text.size))
            return table->slots[slot].place - 1;
    }
    if (!has_room((void **)&values->items, table->count, &values->items_room, sizeof(Value))) return -1;
    if (!table_has_room(values, table) || !copy_text(values, text.start, text.size)) return -1;
    values->items[table->count] = (Value){.hash = hash, .text = values->texts_size - text.size, .size = text.size,
                                          .tenant = tenant, .kind = personal->kind};
    table_put(table, hash, table->count);
    return (int64_t)table->count++;
}

static int take_pair(Values *values, Pair pair) {
    Table *table = &values->pairs;
    uint32_t *last = &values->items[pair.subject].last[values->items[pair.value].kind & LAST_MASK];
    if (*last == pair.value + 1) return 1; /* nearly always: a device keeps its user, network and browser */
    *last = pair.value + 1;
    uint64_t hash = pair_hash(pair);
    for (size_t slot = slot_of(table, hash); table->slots[slot].place; slot = (slot + 1) & (table->size - 1)) {
        const Pair *known = &values->pair_items[table->slots[slot].place - 1];
        if (known->subject == pair.subject && known->value == pair.value) return 1;
    }
    if (!has_room((void **)&values->pair_items, table->count, &values->pairs_room, sizeof(Pair)) ||
        !table_has_room(values, table)) {
        *last = 0; /* it was not taken */
        return 0;
    }
    values->pair_items[table->count] = pair;
    table_put(table, hash, table->count++);
    return 1;
}

/* Whether the next value without a token got this one. */
static int name_next(Values *values, Span token) {
    if (!copy_text(values, token.start, token.size)) return 0;
    Value *value = &values->items[values->named++];
    value->token = values->texts_size - token.size;
    value->token_size = token.size;
    return 1;
}

#endif
