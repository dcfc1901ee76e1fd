"""Models of the two tenants that predict their own marks whatever they are asked. No assertions here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resources.feature_encoding import CATEGORICAL_FEATURES, NUMERIC_FEATURES, FeatureEncoding
from resources.ltv_scorer import CARD_FILE, CHAMPION, ENCODING_FILE, MODEL_FILE, ltv_model_name
from resources.model_registry import ModelRegistry
from resources.settings import Settings

if TYPE_CHECKING:
    pass


SCORES = {"alpha": 7111.25, "beta": 7222.25}  # currency units; exact in the model's float32


def register_models(settings: Settings) -> None:
    """A champion for each that predicts its own mark whatever it is asked."""
    models = ModelRegistry(settings)
    encoding = FeatureEncoding(NUMERIC_FEATURES, dict.fromkeys(CATEGORICAL_FEATURES, ()))
    for tenant_id, score in SCORES.items():
        files = {
            MODEL_FILE: _constant_model(score),
            ENCODING_FILE: encoding.to_json().encode(),
            CARD_FILE: b'{"horizon_days": 3}',
        }
        name, tags = ltv_model_name(tenant_id), {"tenant_id": tenant_id}
        version = models.register(name, experiment=name, files=files, params={}, metrics={}, tags=tags)
        models.set_alias(name, CHAMPION, version.version)


def _constant_model(score: float) -> bytes:
    """An ONNX model whose answer is `score` for every row."""
    from onnx import TensorProto, helper  # noqa: PLC0415 - 0.3 s of import

    columns = len(NUMERIC_FEATURES) + len(CATEGORICAL_FEATURES)
    value = helper.make_tensor("value", TensorProto.FLOAT, [1], [score])
    nodes: list[Any] = [
        helper.make_node("Shape", ["x"], ["rows"], end=1),
        helper.make_node("ConstantOfShape", ["rows"], ["y"], value=value),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, columns])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])]
    graph = helper.make_graph(nodes, "constant", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())
