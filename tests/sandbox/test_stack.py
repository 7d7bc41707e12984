"""What `make up` says of where it is."""

from pathlib import Path

import pytest

from sandbox.stack import USUAL_API_PORT, USUAL_PORT, USUAL_UI_PORT, Stack

TEMPORAL, API = "export TEMPORAL_ADDRESS=127.0.0.1:41234", "export API_URL=http://127.0.0.1:41235"


@pytest.mark.parametrize(
    ("port", "api_port", "lines"),
    [
        (USUAL_PORT, USUAL_API_PORT, ()),
        (41234, USUAL_API_PORT, (TEMPORAL,)),
        (USUAL_PORT, 41235, (API,)),
        (41234, 41235, (TEMPORAL, API)),
    ],
)
def test_what_is_elsewhere_than_the_documents_say_is_a_line_to_paste(
    tmp_path: Path, port: int, api_port: int, lines: tuple[str, ...]
) -> None:
    assert Stack(tmp_path, port, USUAL_UI_PORT, api_port).exports == lines
