"""What a replica says of its versions, in Triton's words."""

import pytest

from martlet.oip import model_config_pb2 as config_pb
from martlet.signature import Signature, TensorSpec
from martlet.versions import ServableStatus, VersionState
from serving_svc.rpc.oip_descriptions import config_of, index_of, metadata_of, statistics_of
from serving_svc.tensor_statistics import Stages, VersionStatistics
from serving_svc.tensor_types import ALL
from tests.unit.serving.fakes import sid

BATCHED = Signature(
    (
        TensorSpec("user", "int64", ("r", 1)),
        TensorSpec("history", "int64", ("r", 20)),
        TensorSpec("note", "string", ("n", "k")),
    ),
    (TensorSpec("score", "float32", ("n",)),),
)


def test_a_common_first_dimension_is_the_batch() -> None:
    config = config_of(sid(3), BATCHED, (2, 3), 4096)
    assert (config.name, config.backend, config.max_batch_size) == ("shop", "onnxruntime", 4096)
    assert [(tensor.name, list(tensor.dims)) for tensor in config.input] == [
        ("user", [1]),
        ("history", [20]),
        ("note", [-1]),
    ]
    assert [tensor.data_type for tensor in config.input] == [
        config_pb.TYPE_INT64,
        config_pb.TYPE_INT64,
        config_pb.TYPE_STRING,
    ]
    assert list(config.version_policy.specific.versions) == [2, 3]
    assert config.parameters["digest"].string_value == "digest-3"


@pytest.mark.parametrize("dims", [("n",), (1, 2), ()], ids=["nothing-beside", "fixed", "scalar"])
def test_an_input_that_cannot_be_batched_means_no_batch(dims: tuple[int | str, ...]) -> None:
    signature = Signature((*BATCHED.inputs, TensorSpec("odd", "int64", dims)), BATCHED.outputs)
    config = config_of(sid(3), signature, (), 4096)
    assert config.max_batch_size == 0
    assert [list(tensor.dims) for tensor in config.input[:2]] == [[-1, 1], [-1, 20]]
    assert [list(tensor.dims) for tensor in config.output] == [[-1]]


def test_every_datatype_has_its_name_in_both() -> None:
    signature = Signature(tuple(TensorSpec(kind.name, kind.name, ()) for kind in ALL), ())
    metadata, config = metadata_of(sid(1), signature, (1,)), config_of(sid(1), signature, (1,), 1)
    assert [tensor.datatype for tensor in metadata.inputs] == [kind.datatype for kind in ALL]
    assert [config_pb.DataType.Name(tensor.data_type).removeprefix("TYPE_") for tensor in config.input] == [
        {"BYTES": "STRING"}.get(kind.datatype, kind.datatype) for kind in ALL
    ]
    assert (metadata.platform, list(metadata.versions)) == ("onnx_onnxv1", ["1"])


def test_statistics_are_in_tritons_units() -> None:
    totals = VersionStatistics()
    totals.answered(5, Stages(1.0, 1.25, 1.75, 2.75, 3.0), 1_700_000_000_123_456)
    told = statistics_of(sid(3), totals)
    assert (told.name, told.version, told.last_inference) == ("shop", "3", 1_700_000_000_123)
    assert (told.inference_count, told.execution_count) == (5, 1)
    times = told.inference_stats
    parts = (times.compute_input, times.queue, times.compute_infer, times.compute_output, times.success)
    assert [part.ns for part in parts] == [250_000_000, 500_000_000, 1_000_000_000, 250_000_000, 2_000_000_000]
    assert {part.count for part in parts} == {1}
    assert times.fail.count == 0


def test_the_index_names_states_and_reasons() -> None:
    states = (VersionState.WARMING, VersionState.READY, VersionState.DRAINING, VersionState.FAILED)
    statuses = [ServableStatus("shop", i, "d", state, "why" if i == 4 else "") for i, state in enumerate(states, 1)]
    index = index_of(statuses, ready=False)
    assert [entry.state for entry in index.models] == ["LOADING", "READY", "UNLOADING", "UNAVAILABLE"]
    assert (index.models[3].reason, index.models[3].version) == ("why", "4")
    assert [entry.version for entry in index_of(statuses, ready=True).models] == ["2"]
