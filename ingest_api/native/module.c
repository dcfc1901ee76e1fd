/* `ingest_api._native`: the certain events of a body, for the door, and as columns, for the lander.
 *
 * Belongs here: the contract's boundary to Python. The lander's types are in `values_object.h` and `columns_object.h`,
 * the scan in the other headers; it runs without the GIL.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "columns.h"
#include "values_object.h"

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

#include "columns_object.h"

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "ingest_api._native", .m_size = -1,
    .m_doc = "Certain verdicts on events, and their columns, without the GIL.",
};

PyMODINIT_FUNC PyInit__native(void) {
    PyObject *made = PyModule_Create(&module);
    if (!made || PyModule_AddType(made, &contract_type) < 0 || PyModule_AddType(made, &values_type) < 0 ||
        PyModule_AddType(made, &columns_type) < 0) {
        Py_XDECREF(made);
        return NULL;
    }
    return made;
}
