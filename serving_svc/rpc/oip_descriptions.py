"""Metadata, configuration, statistics and index, in the words of the Open Inference Protocol and of Triton."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from martlet.oip import model_config_pb2 as config_pb
from martlet.oip import open_inference_pb2 as pb
from martlet.signature import Signature, TensorSpec
from martlet.versions import ServableStatus, VersionState
from serving_svc.servable import ServableId
from serving_svc.tensor_statistics import Duration, VersionStatistics
from serving_svc.tensor_types import BY_NAME

PLATFORM: Final = "onnx_onnxv1"
BACKEND: Final = "onnxruntime"
# Of Triton's repository extension there is the index alone: versions come from Martlet's registry, not by request.
EXTENSIONS: Final = ("model_configuration", "statistics", "model_repository(index)")

_STATE_OF: Final[Mapping[VersionState, str]] = {
    VersionState.LOADING: "LOADING",
    VersionState.WARMING: "LOADING",
    VersionState.READY: "READY",
    VersionState.DRAINING: "UNLOADING",
    VersionState.RETIRED: "UNAVAILABLE",
    VersionState.FAILED: "UNAVAILABLE",
}
_CONFIG_TYPE: Final = {"string": "TYPE_STRING"}


def metadata_of(servable: ServableId, signature: Signature, ready: Iterable[int]) -> pb.ModelMetadataResponse:
    """A version's tensors, and the model's versions that are READY."""
    return pb.ModelMetadataResponse(
        name=servable.model,
        versions=[str(version) for version in ready],
        platform=PLATFORM,
        inputs=[tensor_metadata(spec) for spec in signature.inputs],
        outputs=[tensor_metadata(spec) for spec in signature.outputs],
        properties={"version": str(servable.version), "digest": servable.digest},
    )


def tensor_metadata(spec: TensorSpec) -> pb.ModelMetadataResponse.TensorMetadata:
    """A tensor of a signature; a dimension of any size is -1."""
    datatype = BY_NAME[spec.dtype].datatype
    return pb.ModelMetadataResponse.TensorMetadata(name=spec.name, datatype=datatype, shape=_shape(spec))


def config_of(
    servable: ServableId, signature: Signature, ready: Iterable[int], most_rows: int
) -> config_pb.ModelConfig:
    """A version's configuration. One request has at most `most_rows` rows."""
    batched = has_batch_dimension(signature)
    first = 1 if batched else 0
    config = config_pb.ModelConfig(
        name=servable.model,
        platform=PLATFORM,
        backend=BACKEND,
        version_policy=config_pb.ModelVersionPolicy(
            specific=config_pb.ModelVersionPolicy.Specific(versions=list(ready))
        ),
        max_batch_size=most_rows if batched else 0,
        input=[
            config_pb.ModelInput(name=spec.name, data_type=_config_type(spec), dims=_shape(spec)[first:])
            for spec in signature.inputs
        ],
        output=[
            config_pb.ModelOutput(name=spec.name, data_type=_config_type(spec), dims=_shape(spec)[first:])
            for spec in signature.outputs
        ],
        model_transaction_policy=config_pb.ModelTransactionPolicy(decoupled=False),
    )
    for name, value in (("version", str(servable.version)), ("digest", servable.digest)):
        config.parameters[name].string_value = value
    return config


def has_batch_dimension(signature: Signature) -> bool:
    """Whether every tensor has a first dimension of any size, and every input another beside it.

    Triton's clients cannot send an input that has no dimension left when the batch is taken away.
    """
    free = all(spec.dims and isinstance(spec.dims[0], str) for spec in (*signature.inputs, *signature.outputs))
    return free and all(len(spec.dims) > 1 for spec in signature.inputs)


def statistics_of(servable: ServableId, totals: VersionStatistics) -> pb.ModelStatistics:
    """A version's totals."""
    return pb.ModelStatistics(
        name=servable.model,
        version=str(servable.version),
        last_inference=totals.last_us // 1000,
        inference_count=totals.rows,
        execution_count=totals.runs,
        inference_stats=pb.InferStatistics(
            success=_duration(totals.success),
            fail=_duration(totals.fail),
            queue=_duration(totals.queue),
            compute_input=_duration(totals.compute_input),
            compute_infer=_duration(totals.compute_infer),
            compute_output=_duration(totals.compute_output),
        ),
    )


def index_of(statuses: Sequence[ServableStatus], *, ready: bool) -> pb.RepositoryIndexResponse:
    """Versions and their states; only those that are READY if `ready`."""
    entries = [
        pb.RepositoryIndexResponse.ModelIndex(
            name=status.model, version=str(status.version), state=_STATE_OF[status.state], reason=status.reason
        )
        for status in statuses
        if not ready or status.state is VersionState.READY
    ]
    return pb.RepositoryIndexResponse(models=entries)


def _shape(spec: TensorSpec) -> list[int]:
    return [dim if isinstance(dim, int) else -1 for dim in spec.dims]


def _config_type(spec: TensorSpec) -> config_pb.DataType.ValueType:
    return config_pb.DataType.Value(_CONFIG_TYPE.get(spec.dtype, f"TYPE_{BY_NAME[spec.dtype].datatype}"))


def _duration(duration: Duration) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=duration.count, ns=duration.ns)
