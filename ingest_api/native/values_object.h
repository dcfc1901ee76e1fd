/* `Values`, the boundary of `values.h` to Python. */
#ifndef UNMOGROWP_VALUES_OBJECT_H
#define UNMOGROWP_VALUES_OBJECT_H

typedef struct {
    PyObject_HEAD
    Values values;
} ValuesObject;

static PyObject *values_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    if (!PyArg_ParseTuple(args, "")) return NULL;
    ValuesObject *self = (ValuesObject *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    if (!values_init(&self->values)) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    (void)kwargs;
    return (PyObject *)self;
}

static void values_dealloc(ValuesObject *self) {
    values_free(&self->values);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

/* Whether every value has its token; sets the error. */
static int are_named(const Values *values) {
    if (values->named == values->table.count) return 1;
    PyErr_SetString(PyExc_ValueError, "a value has no token yet: name the unnamed ones first");
    return 0;
}

/* A list made of `item_at` for the places from `first` to `end`. */
static PyObject *listed(const Values *values, size_t first, size_t end, PyObject *(*item_at)(const Values *, size_t)) {
    PyObject *list = PyList_New((Py_ssize_t)(end - first));
    for (size_t i = first; list && i < end; i++) {
        PyObject *item = item_at(values, i);
        if (!item) Py_CLEAR(list);
        else PyList_SET_ITEM(list, (Py_ssize_t)(i - first), item);
    }
    return list;
}

static PyObject *unnamed_at(const Values *values, size_t place) {
    const Value *value = &values->items[place];
    return Py_BuildValue("iis#", (int)value->tenant, (int)value->kind, values->texts + value->text, (Py_ssize_t)value->size);
}

static PyObject *values_unnamed(ValuesObject *self, PyObject *unused) {
    (void)unused;
    return listed(&self->values, self->values.named, self->values.table.count, unnamed_at);
}

static PyObject *values_name(ValuesObject *self, PyObject *args) {
    PyObject *tokens;
    Values *values = &self->values;
    if (!PyArg_ParseTuple(args, "O!", &PyList_Type, &tokens)) return NULL;
    if ((size_t)PyList_GET_SIZE(tokens) != values->table.count - values->named)
        return PyErr_Format(PyExc_ValueError, "one token for each unnamed value");
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(tokens); i++) {
        Py_ssize_t size;
        const char *text = PyUnicode_AsUTF8AndSize(PyList_GET_ITEM(tokens, i), &size);
        if (!text) return NULL;
        if (!name_next(values, (Span){(const uint8_t *)text, (uint32_t)size})) return PyErr_NoMemory();
    }
    Py_RETURN_NONE;
}

static PyObject *untold_at(const Values *values, size_t place) {
    const Value *subject = &values->items[values->pair_items[place].subject];
    const Value *value = &values->items[values->pair_items[place].value];
    return Py_BuildValue("iis#s#s#", (int)value->tenant, (int)value->kind,
                         values->texts + subject->token, (Py_ssize_t)subject->token_size,
                         values->texts + value->token, (Py_ssize_t)value->token_size,
                         values->texts + value->text, (Py_ssize_t)value->size);
}

static PyObject *values_untold(ValuesObject *self, PyObject *args) {
    const Values *values = &self->values;
    Py_ssize_t most;
    if (!PyArg_ParseTuple(args, "n", &most) || !are_named(values)) return NULL;
    size_t count = values->pairs.count - values->told;
    if (most >= 0 && (size_t)most < count) count = (size_t)most;
    return listed(values, values->told, values->told + count, untold_at);
}

static PyObject *values_told(ValuesObject *self, PyObject *args) {
    Py_ssize_t count;
    if (!PyArg_ParseTuple(args, "n", &count)) return NULL;
    if (count < 0 || (size_t)count > self->values.pairs.count - self->values.told)
        return PyErr_Format(PyExc_ValueError, "there are not %zd untold", count);
    self->values.told += (size_t)count;
    Py_RETURN_NONE;
}

static Py_ssize_t values_length(PyObject *self) {
    const Values *values = &((ValuesObject *)self)->values;
    return (Py_ssize_t)(values->table.count + values->pairs.count);
}

static PyMethodDef values_methods[] = {
    {"unnamed", (PyCFunction)values_unnamed, METH_NOARGS,
     "unnamed(): (tenant number, kind, text) of the values that have no token yet."},
    {"name", (PyCFunction)values_name, METH_VARARGS, "name(tokens): gives the unnamed values their tokens, in order."},
    {"untold", (PyCFunction)values_untold, METH_VARARGS,
     "untold(most): (tenant number, kind, subject's token, token, text) of the first values of subjects that `told` was "
     "not called for."},
    {"told", (PyCFunction)values_told, METH_VARARGS, "told(count): the first `count` of these need not be told again."},
    {NULL},
};

static PySequenceMethods values_sequence = {.sq_length = values_length};

static PyTypeObject values_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "ingest_api._native.Values",
    .tp_basicsize = sizeof(ValuesObject),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = values_new,
    .tp_dealloc = (destructor)values_dealloc,
    .tp_methods = values_methods,
    .tp_as_sequence = &values_sequence,
    .tp_doc = "Values(): personal values over many landings, and whose they are; len() counts both. One thread at a time.",
};

#endif
