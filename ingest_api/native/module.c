/* `ingest_api._native`: the certain events of a body, for the door, and as columns, for the lander.
 *
 * Belongs here: the boundary to Python. The scan is in the headers; it runs without the GIL.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "columns.h"

typedef struct {
    PyObject_HEAD
    Contract contract;
    PyObject *source; /* keeps the bytes that names and options point into */
} ContractObject;

static int rule_of(PyObject *source, Rule *rule);

static int span_of(PyObject *bytes, Span *span) {
    char *start;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(bytes, &start, &size) < 0) return -1;
    *span = (Span){(const uint8_t *)start, (uint32_t)size};
    return 0;
}

static int rules_of(PyObject *source, Rule **rules, int *count) {
    Py_ssize_t size;
    if (!PyTuple_Check(source) || (size = PyTuple_GET_SIZE(source)) > MEMBERS_MAX) {
        PyErr_SetString(PyExc_ValueError, "rules are a tuple of at most 32");
        return -1;
    }
    if (!(*rules = PyMem_Calloc((size_t)size + 1, sizeof(Rule)))) {
        PyErr_NoMemory();
        return -1;
    }
    for (*count = 0; *count < size; (*count)++)
        if (rule_of(PyTuple_GET_ITEM(source, *count), &(*rules)[*count]) < 0) return -1;
    return 0;
}

static int rule_of(PyObject *source, Rule *rule) {
    PyObject *name, *options, *members;
    int operation, is_required, personal_kind;
    long long minimum, maximum;
    if (!PyTuple_Check(source)) {
        PyErr_SetString(PyExc_TypeError, "a rule is a tuple");
        return -1;
    }
    if (!PyArg_ParseTuple(source, "SiiiLLO!O!", &name, &operation, &is_required, &personal_kind, &minimum, &maximum,
                          &PyTuple_Type, &options, &PyTuple_Type, &members)) return -1;
    *rule = (Rule){.operation = (uint8_t)operation, .is_required = (uint8_t)is_required,
                   .personal_kind = (uint8_t)personal_kind, .minimum = minimum, .maximum = maximum};
    if (span_of(name, &rule->name) < 0) return -1;
    if (!(rule->options = PyMem_Calloc((size_t)PyTuple_GET_SIZE(options) + 1, sizeof(Span)))) {
        PyErr_NoMemory();
        return -1;
    }
    for (; rule->option_count < PyTuple_GET_SIZE(options); rule->option_count++)
        if (span_of(PyTuple_GET_ITEM(options, rule->option_count), &rule->options[rule->option_count]) < 0) return -1;
    return rules_of(members, &rule->members, &rule->member_count);
}

static void free_rules(Rule *rules, int count) {
    for (int i = 0; rules && i <= count; i++) { /* a half-made last one too: the array has one to spare */
        PyMem_Free(rules[i].options);
        free_rules(rules[i].members, rules[i].member_count);
    }
    PyMem_Free(rules);
}

static void contract_dealloc(ContractObject *self) {
    for (int i = 0; self->contract.types && i <= self->contract.type_count; i++)
        free_rules(self->contract.types[i].rules, self->contract.types[i].rule_count);
    PyMem_Free(self->contract.types);
    Py_XDECREF(self->source);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *contract_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *types, *name, *rules;
    int default_type;
    if (!PyArg_ParseTuple(args, "O!i", &PyTuple_Type, &types, &default_type)) return NULL;
    if (default_type < -1 || default_type >= PyTuple_GET_SIZE(types))
        return PyErr_Format(PyExc_ValueError, "there is no type %d", default_type);
    ContractObject *self = (ContractObject *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    Contract *contract = &self->contract;
    contract->default_type = default_type;
    self->source = Py_NewRef(types);
    contract->types = PyMem_Calloc((size_t)PyTuple_GET_SIZE(types) + 1, sizeof(EventType));
    if (!contract->types) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    for (; contract->type_count < PyTuple_GET_SIZE(types); contract->type_count++) {
        EventType *made = &contract->types[contract->type_count];
        PyObject *item = PyTuple_GET_ITEM(types, contract->type_count);
        if (!PyTuple_Check(item)) PyErr_SetString(PyExc_TypeError, "a type is a name and its rules");
        if (PyErr_Occurred() || !PyArg_ParseTuple(item, "SO", &name, &rules) ||
            span_of(name, &made->name) < 0 || rules_of(rules, &made->rules, &made->rule_count) < 0) {
            Py_DECREF(self);
            return NULL;
        }
    }
    (void)kwargs;
    return (PyObject *)self;
}

/* The ids, lower case, of a body's events as one run of 36 bytes each; NULL when one is not certain. */
static char *certain_ids(const Contract *contract, const Demands *demands, Deliveries body, size_t count_max, size_t *count) {
    size_t room = 0;
    char *ids = NULL;
    Facts facts;
    int outcome;
    *count = 0;
    while ((outcome = next_delivery(&body, contract, demands, &facts)) > 0) {
        if (*count == count_max) break;
        if (*count == room) {
            char *more = realloc(ids, (room = room ? room * 2 : 128) * ID_BYTES);
            if (!more) break;
            ids = more;
        }
        copy_id(ids + (*count)++ * ID_BYTES, facts.id);
    }
    if (outcome == 0 && *count) return ids;
    free(ids);
    return NULL;
}

static PyObject *contract_ids(ContractObject *self, PyObject *args) {
    Py_buffer body, tenant;
    int format;
    Py_ssize_t count_max;
    Demands demands;
    if (!PyArg_ParseTuple(args, "y*iy*LLnin", &body, &format, &tenant, &demands.oldest_us, &demands.newest_us,
                          &demands.event_bytes_max, &demands.depth_max, &count_max)) return NULL;
    size_t count;
    char *ids;
    Deliveries deliveries = {body.buf, (const uint8_t *)body.buf + body.len, (enum Format)format, 0, 0};
    demands.tenant = (Span){tenant.buf, (uint32_t)tenant.len};
    Py_BEGIN_ALLOW_THREADS
    ids = certain_ids(&self->contract, &demands, deliveries, (size_t)count_max, &count);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&body);
    PyBuffer_Release(&tenant);
    if (!ids) Py_RETURN_NONE;
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list && i < count; i++) {
        PyObject *id = PyUnicode_FromStringAndSize(ids + i * ID_BYTES, ID_BYTES);
        if (!id) Py_CLEAR(list);
        else PyList_SET_ITEM(list, (Py_ssize_t)i, id);
    }
    free(ids);
    return list;
}

static PyMethodDef contract_methods[] = {
    {"ids", (PyCFunction)contract_ids, METH_VARARGS,
     "ids(body, format, tenant, oldest_us, newest_us, event_bytes_max, depth_max, count_max): the event ids when every "
     "event is certain, else None."},
    {NULL},
};

static PyTypeObject contract_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "ingest_api._native.Contract",
    .tp_basicsize = sizeof(ContractObject),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = contract_new,
    .tp_dealloc = (destructor)contract_dealloc,
    .tp_methods = contract_methods,
    .tp_doc = "Contract(types, default_type): compiled rules; see fast_lane.py for their shape.",
};

typedef struct {
    PyObject_HEAD
    Columns columns;
    PyObject *bodies; /* keeps what the spans point into */
} ColumnsObject;

static PyObject *columns_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    if (!PyArg_ParseTuple(args, "")) return NULL;
    ColumnsObject *self = (ColumnsObject *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    if (!(self->bodies = PyList_New(0)) || !columns_init(&self->columns)) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    (void)kwargs;
    return (PyObject *)self;
}

static void columns_dealloc(ColumnsObject *self) {
    columns_free(&self->columns);
    Py_XDECREF(self->bodies);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *columns_add(ColumnsObject *self, PyObject *args) {
    ContractObject *contract;
    PyObject *body;
    const char *tenant;
    Py_ssize_t tenant_size;
    int format, tenant_number, depth_max;
    Py_ssize_t count_expected;
    if (!PyArg_ParseTuple(args, "O!Siy#iin", &contract_type, &contract, &body, &format, &tenant, &tenant_size,
                          &tenant_number, &depth_max, &count_expected)) return NULL;
    const uint8_t *start = (const uint8_t *)PyBytes_AS_STRING(body);
    Deliveries deliveries = {start, start + PyBytes_GET_SIZE(body), (enum Format)format, 0, 0};
    Demands demands = {{(const uint8_t *)tenant, (uint32_t)tenant_size}, INT64_MIN, INT64_MAX, SIZE_MAX, depth_max};
    enum Added added;
    if (PyList_Append(self->bodies, body) < 0) return NULL;
    Py_BEGIN_ALLOW_THREADS
    added = columns_add_body(&self->columns, &contract->contract, &demands, deliveries, tenant_number, (size_t)count_expected);
    Py_END_ALLOW_THREADS
    if (added == ADDED_ALL) Py_RETURN_TRUE;
    if (added == ADDED_NO_MEMORY) return PyErr_NoMemory();
    Py_RETURN_FALSE;
}

static PyObject *columns_values(ColumnsObject *self, PyObject *unused) {
    Columns *columns = &self->columns;
    Py_ssize_t count = (Py_ssize_t)columns->values.count;
    PyObject *tenants = PyBytes_FromStringAndSize(NULL, count * (Py_ssize_t)sizeof(int32_t));
    PyObject *kinds = PyBytes_FromStringAndSize(NULL, count);
    PyObject *texts = PyList_New(count), *values = NULL;
    for (Py_ssize_t i = 0; tenants && kinds && texts && i < count; i++) {
        const Value *value = &columns->value_items[i];
        PyObject *text = PyUnicode_FromStringAndSize(columns->texts + value->text, (Py_ssize_t)value->size);
        if (!text) {
            Py_CLEAR(texts);
            break;
        }
        PyList_SET_ITEM(texts, i, text);
        ((int32_t *)PyBytes_AS_STRING(tenants))[i] = value->tenant;
        PyBytes_AS_STRING(kinds)[i] = (char)value->kind;
    }
    if (tenants && kinds && texts) values = PyTuple_Pack(3, tenants, kinds, texts);
    Py_XDECREF(tenants), Py_XDECREF(kinds), Py_XDECREF(texts);
    (void)unused;
    return values;
}

static PyObject *columns_pairs(ColumnsObject *self, PyObject *unused) {
    (void)unused;
    return PyBytes_FromStringAndSize((const char *)self->columns.pair_items,
                                     (Py_ssize_t)(self->columns.pairs.count * sizeof(Pair)));
}

/* Spans of the tokens, one for each value. The caller frees it. */
static Span *token_spans(PyObject *tokens, size_t expected) {
    if ((size_t)PyList_GET_SIZE(tokens) != expected) {
        PyErr_SetString(PyExc_ValueError, "one token for each value");
        return NULL;
    }
    Span *spans = PyMem_Malloc((expected + 1) * sizeof(Span));
    if (!spans) {
        PyErr_NoMemory();
        return NULL;
    }
    for (size_t i = 0; i < expected; i++) {
        Py_ssize_t size;
        const char *text = PyUnicode_AsUTF8AndSize(PyList_GET_ITEM(tokens, (Py_ssize_t)i), &size);
        if (!text) {
            PyMem_Free(spans);
            return NULL;
        }
        spans[i] = (Span){(const uint8_t *)text, (uint32_t)size};
    }
    return spans;
}

static PyObject *columns_facts(ColumnsObject *self, PyObject *unused) {
    const Columns *columns = &self->columns;
    Py_ssize_t count = (Py_ssize_t)columns->event_count;
    PyObject *types = PyBytes_FromStringAndSize(NULL, count), *facts = NULL;
    PyObject *times = PyBytes_FromStringAndSize(NULL, count * (Py_ssize_t)sizeof(int64_t));
    for (Py_ssize_t i = 0; types && times && i < count; i++) {
        PyBytes_AS_STRING(types)[i] = (char)columns->rows[i].type;
        ((int64_t *)PyBytes_AS_STRING(times))[i] = columns->rows[i].time_us;
    }
    if (types && times) facts = PyTuple_Pack(2, types, times);
    Py_XDECREF(types), Py_XDECREF(times);
    (void)unused;
    return facts;
}

static PyObject *columns_build(ColumnsObject *self, PyObject *args) {
    PyObject *tokens, *offsets = NULL, *bodies = NULL, *ids = NULL, *built = NULL;
    Columns *columns = &self->columns;
    const char *row_bytes;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "O!y#", &PyList_Type, &tokens, &row_bytes, &size)) return NULL;
    Py_ssize_t count = size / (Py_ssize_t)sizeof(int64_t);
    int64_t *rows = PyMem_Malloc((size_t)size + 1); /* a copy, for its alignment */
    if (!rows) return PyErr_NoMemory();
    memcpy(rows, row_bytes, (size_t)count * sizeof(int64_t));
    Span *spans = NULL;
    if (are_places(columns, rows, (size_t)count)) spans = token_spans(tokens, columns->values.count);
    else PyErr_SetString(PyExc_ValueError, "rows are places of the rows taken, as 64-bit integers");
    if (spans) {
        offsets = PyBytes_FromStringAndSize(NULL, (count + 1) * (Py_ssize_t)sizeof(int64_t));
        ids = PyBytes_FromStringAndSize(NULL, count * ID_BYTES);
    }
    if (offsets && ids) {
        int64_t total = columns_offsets(columns, rows, (size_t)count, spans, (int64_t *)PyBytes_AS_STRING(offsets));
        bodies = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)total);
    }
    if (bodies) {
        Py_BEGIN_ALLOW_THREADS
        columns_fill(columns, rows, (size_t)count, spans, PyBytes_AS_STRING(bodies), PyBytes_AS_STRING(ids));
        Py_END_ALLOW_THREADS
        built = PyTuple_Pack(3, offsets, bodies, ids);
    }
    Py_XDECREF(offsets), Py_XDECREF(bodies), Py_XDECREF(ids);
    PyMem_Free(spans);
    PyMem_Free(rows);
    return built;
}

static PyMethodDef columns_methods[] = {
    {"add", (PyCFunction)columns_add, METH_VARARGS,
     "add(contract, body, format, tenant, tenant_number, depth_max, count): whether the body's events were taken, all of "
     "them; none are when one is not certain or there are not `count`."},
    {"values", (PyCFunction)columns_values, METH_NOARGS,
     "values(): each personal value once, as (tenant numbers, kinds, texts): int32 and uint8 as bytes, a list."},
    {"pairs", (PyCFunction)columns_pairs, METH_NOARGS,
     "pairs(): each (subject, value) of an event once, places in values(), as uint32 pairs."},
    {"facts", (PyCFunction)columns_facts, METH_NOARGS,
     "facts(): (types, times_us) of the rows in the order taken: uint8 and int64 as bytes."},
    {"build", (PyCFunction)columns_build, METH_VARARGS,
     "build(tokens, rows): (body offsets, bodies, ids) of the rows at these places (int64 as bytes), values replaced by "
     "their tokens."},
    {NULL},
};

static PyTypeObject columns_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "ingest_api._native.Columns",
    .tp_basicsize = sizeof(ColumnsObject),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = columns_new,
    .tp_dealloc = (destructor)columns_dealloc,
    .tp_methods = columns_methods,
    .tp_doc = "Columns(): the certain events of many bodies, gathered for one landing.",
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "ingest_api._native", .m_size = -1,
    .m_doc = "Certain verdicts on events, and their columns, without the GIL.",
};

PyMODINIT_FUNC PyInit__native(void) {
    PyObject *made = PyModule_Create(&module);
    if (!made || PyModule_AddType(made, &contract_type) < 0 || PyModule_AddType(made, &columns_type) < 0) {
        Py_XDECREF(made);
        return NULL;
    }
    return made;
}
