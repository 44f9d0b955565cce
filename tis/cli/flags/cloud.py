"""Flags of the fronts for SageMaker and Vertex AI."""

from tis.cli.flag import Flag, FlagGroup, NotYet
from tis.cli.values import BOOLEAN, INTEGER, PORT, TEXT

_NO_SAGEMAKER = "this server has no SageMaker endpoint"
_NO_VERTEX = "this server has no Vertex AI endpoint"

SAGEMAKER = FlagGroup(
    "Sagemaker",
    (
        Flag(
            name="allow-sagemaker",
            action=NotYet(BOOLEAN, _NO_SAGEMAKER, accepts=(False,)),
            default="false",
            help="Whether to serve SageMaker's protocol.",
        ),
        Flag(
            name="sagemaker-port",
            action=NotYet(PORT, _NO_SAGEMAKER),
            default="8080",
            help="The port to listen on for SageMaker.",
        ),
        Flag(
            name="sagemaker-safe-port-range",
            action=NotYet(TEXT, _NO_SAGEMAKER),
            help="<first>-<last>: the ports that the server's other endpoints have to keep to.",
        ),
        Flag(
            name="sagemaker-thread-count",
            action=NotYet(INTEGER, _NO_SAGEMAKER),
            default="8",
            help="How many threads take SageMaker's requests.",
        ),
    ),
)

VERTEX = FlagGroup(
    "Vertex",
    (
        Flag(
            name="allow-vertex-ai",
            action=NotYet(BOOLEAN, _NO_VERTEX, accepts=(False,)),
            default="false, but true where AIP_MODE is PREDICTION",
            help="Whether to serve Vertex AI's protocol.",
        ),
        Flag(
            name="vertex-ai-port",
            action=NotYet(PORT, _NO_VERTEX),
            default="8080",
            help="The port to listen on for Vertex AI.",
        ),
        Flag(
            name="vertex-ai-thread-count",
            action=NotYet(INTEGER, _NO_VERTEX),
            default="8",
            help="How many threads take Vertex AI's requests.",
        ),
        Flag(
            name="vertex-ai-default-model",
            action=NotYet(TEXT, _NO_VERTEX, accepts=("",)),
            help="The model that answers requests which name none.",
        ),
    ),
)
