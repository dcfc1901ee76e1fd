/* `Columns`, the boundary of `columns.h` to Python. A part of `module.c`, which has the contract's type. */
#ifndef UNMOGROWP_COLUMNS_OBJECT_H
#define UNMOGROWP_COLUMNS_OBJECT_H

typedef struct {
    PyObject_HEAD
    Columns columns;
    PyObject *values; /* keeps `columns.values` */
    PyObject *bodies; /* (first row, rows, body) of each that was taken: keeps what the spans point into; of one that is
                         away its size is in its place, None stands for one that was dropped */
} ColumnsObject;

static PyObject *columns_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    ValuesObject *values;
    if (!PyArg_ParseTuple(args, "O!", &values_type, &values)) return NULL;
    ColumnsObject *self = (ColumnsObject *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    self->columns.values = &values->values;
    self->values = Py_NewRef(values);
    if (!(self->bodies = PyList_New(0))) {
        Py_DECREF(self);
        return NULL;
    }
    (void)kwargs;
    return (PyObject *)self;
}

static void columns_dealloc(ColumnsObject *self) {
    columns_free(&self->columns);
    Py_XDECREF(self->bodies), Py_XDECREF(self->values);
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
    PyObject *entry = Py_BuildValue("nnO", (Py_ssize_t)self->columns.event_count, count_expected, body);
    if (!entry || PyList_Append(self->bodies, entry) < 0) {
        Py_XDECREF(entry);
        return NULL;
    }
    Py_DECREF(entry);
    Py_BEGIN_ALLOW_THREADS
    added = columns_add_body(&self->columns, &contract->contract, &demands, deliveries, tenant_number, (size_t)count_expected);
    Py_END_ALLOW_THREADS
    if (added == ADDED_ALL) Py_RETURN_TRUE;
    if (PyList_SetSlice(self->bodies, PyList_GET_SIZE(self->bodies) - 1, PyList_GET_SIZE(self->bodies), NULL) < 0) return NULL;
    if (added == ADDED_NO_MEMORY) return PyErr_NoMemory();
    Py_RETURN_FALSE;
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
    PyObject *offsets = NULL, *bodies = NULL, *ids = NULL, *built = NULL;
    Columns *columns = &self->columns;
    const char *row_bytes;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "y#", &row_bytes, &size)) return NULL;
    Py_ssize_t count = size / (Py_ssize_t)sizeof(int64_t);
    int64_t *rows = PyMem_Malloc((size_t)size + 1); /* a copy, for its alignment */
    if (!rows) return PyErr_NoMemory();
    memcpy(rows, row_bytes, (size_t)count * sizeof(int64_t));
    if (!are_places(columns, rows, (size_t)count))
        PyErr_SetString(PyExc_ValueError, "rows are places of rows taken and not dropped, as 64-bit integers");
    else if (are_named(columns->values)) {
        offsets = PyBytes_FromStringAndSize(NULL, (count + 1) * (Py_ssize_t)sizeof(int64_t));
        ids = PyBytes_FromStringAndSize(NULL, count * ID_BYTES);
    }
    if (offsets && ids) {
        int64_t total = columns_offsets(columns, rows, (size_t)count, (int64_t *)PyBytes_AS_STRING(offsets));
        bodies = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)total);
    }
    if (bodies) {
        Py_BEGIN_ALLOW_THREADS
        columns_fill(columns, rows, (size_t)count, PyBytes_AS_STRING(bodies), PyBytes_AS_STRING(ids));
        Py_END_ALLOW_THREADS
        built = PyTuple_Pack(3, offsets, bodies, ids);
    }
    Py_XDECREF(offsets), Py_XDECREF(bodies), Py_XDECREF(ids);
    PyMem_Free(rows);
    return built;
}

/* The n-th body that was taken, by its first row, its rows, and itself or its size (borrowed); NULL sets an error. */
static PyObject *body_at(ColumnsObject *self, Py_ssize_t place, size_t *first, size_t *count) {
    PyObject *entry, *body;
    Py_ssize_t first_row, rows;
    if (place < 0 || place >= PyList_GET_SIZE(self->bodies)) return PyErr_Format(PyExc_IndexError, "there is no body %zd", place);
    entry = PyList_GET_ITEM(self->bodies, place);
    if (entry == Py_None) return entry;
    if (!PyArg_ParseTuple(entry, "nnO", &first_row, &rows, &body)) return NULL;
    *first = (size_t)first_row;
    *count = (size_t)rows;
    return body;
}

static uintptr_t address_of(PyObject *body) { return (uintptr_t)PyBytes_AS_STRING(body); }

static int put_body(ColumnsObject *self, Py_ssize_t place, size_t first, size_t count, PyObject *body) {
    PyObject *entry = Py_BuildValue("nnO", (Py_ssize_t)first, (Py_ssize_t)count, body);
    return entry && PyList_SetItem(self->bodies, place, entry) == 0;
}

static PyObject *columns_pack(ColumnsObject *self, PyObject *args) {
    Py_ssize_t place;
    size_t first = 0, count = 0;
    PyObject *body, *size;
    if (!PyArg_ParseTuple(args, "n", &place) || !(body = body_at(self, place, &first, &count))) return NULL;
    if (!PyBytes_Check(body)) return PyErr_Format(PyExc_ValueError, "body %zd is not here", place);
    if (!(size = PyLong_FromSsize_t(PyBytes_GET_SIZE(body)))) return NULL;
    move_rows(&self->columns, first, count, address_of(body), 0);
    int is_put = put_body(self, place, first, count, size);
    Py_DECREF(size);
    if (!is_put) return NULL;
    Py_RETURN_NONE;
}

static PyObject *columns_unpack(ColumnsObject *self, PyObject *args) {
    Py_ssize_t place;
    size_t first = 0, count = 0;
    PyObject *body, *size;
    if (!PyArg_ParseTuple(args, "nS", &place, &body) || !(size = body_at(self, place, &first, &count))) return NULL;
    if (!PyLong_Check(size) || PyLong_AsSsize_t(size) != PyBytes_GET_SIZE(body))
        return PyErr_Format(PyExc_ValueError, "body %zd is not away, or this is another", place);
    if (!put_body(self, place, first, count, body)) return NULL;
    move_rows(&self->columns, first, count, 0, address_of(body));
    Py_RETURN_NONE;
}

static PyObject *columns_drop(ColumnsObject *self, PyObject *args) {
    PyObject *places;
    if (!PyArg_ParseTuple(args, "O!", &PyList_Type, &places)) return NULL;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(places); i++) {
        Py_ssize_t place = PyLong_AsSsize_t(PyList_GET_ITEM(places, i));
        size_t first = 0, count = 0;
        PyObject *body;
        if (place == -1 && PyErr_Occurred()) return NULL;
        if (!(body = body_at(self, place, &first, &count))) return NULL;
        if (body == Py_None) continue;
        leave_rows(&self->columns, first, count);
        if (PyList_SetItem(self->bodies, place, Py_NewRef(Py_None)) < 0) return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef columns_methods[] = {
    {"add", (PyCFunction)columns_add, METH_VARARGS,
     "add(contract, body, format, tenant, tenant_number, depth_max, count): whether the body's events were taken, all of "
     "them; none are when one is not certain or there are not `count`."},
    {"facts", (PyCFunction)columns_facts, METH_NOARGS,
     "facts(): (types, times_us) of the rows in the order taken: uint8 and int64 as bytes."},
    {"build", (PyCFunction)columns_build, METH_VARARGS,
     "build(rows): (body offsets, bodies, ids) of the rows at these places (int64 as bytes), values replaced by their "
     "tokens; ValueError while one has none."},
    {"pack", (PyCFunction)columns_pack, METH_VARARGS,
     "pack(place): lets go of the body that was taken as the n-th one for a while; its rows cannot be built meanwhile."},
    {"unpack", (PyCFunction)columns_unpack, METH_VARARGS, "unpack(place, body): here is the body again, byte for byte."},
    {"drop", (PyCFunction)columns_drop, METH_VARARGS,
     "drop(places): lets go of the bodies that were taken as the n-th ones; their rows cannot be built any more."},
    {NULL},
};

static PyTypeObject columns_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "ingest_api._native.Columns",
    .tp_basicsize = sizeof(ColumnsObject),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = columns_new,
    .tp_dealloc = (destructor)columns_dealloc,
    .tp_methods = columns_methods,
    .tp_doc = "Columns(values): the certain events of many bodies, gathered for one landing. One thread at a time.",
};

#endif
