"""Fields that fail the load, because a server that ignored them would answer wrongly. A feature that lands takes its row out.

Fields whose neglect is harmless are in tis.config.unacted.
"""

from typing import Final

from tis.config.fault import ConfigFault, Report, raise_it
from tis.config.fields import set_among
from tis.config.proto import Message
from tis.errors import Code

#: What goes wrong, by dotted field name.
REFUSED: Final[dict[str, str]] = {
    "model_repository_agents": "the model would be served without the agents that check or change it",
}


def check_supported(config: Message, report: Report = raise_it) -> None:
    """Rejects a config that needs what this server does not do.

    Raises:
        TisError: UNSUPPORTED, naming every such field and what would go wrong.
    """
    fields = set_among(config, REFUSED)
    if fields:
        reasons = "; ".join(f"'{field}' is not supported by this server ({REFUSED[field]})" for field in fields)
        text = f"unable to load model '{config.name}': {reasons}"
        report(ConfigFault(fields[0], text, expected="nothing", code=Code.UNSUPPORTED))
