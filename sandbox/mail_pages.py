"""The mails that the sandbox's mail server has taken, as pages for a browser."""

import argparse
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

from jinja2 import Environment
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from sandbox.serving import serve

_PAGES = Environment(autoescape=True)
_HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ title }}</title><style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; padding: .4rem .8rem .4rem 0; vertical-align: top; }
tr + tr { border-top: 1px solid #ddd; }
pre { white-space: pre-wrap; font: inherit; }
.dim { color: #666; white-space: nowrap; }
</style>"""
_LIST = _PAGES.from_string(
    _HEAD
    + """<h1>{{ title }}</h1><p>{{ mails|length }} mails, the latest first. Load the page again to see new ones.</p>
<table><tr><th>time (UTC)<th>to<th>subject</tr>
{% for mail in mails %}<tr><td class="dim">{{ mail.at }}<td>{{ mail.to }}
<td><a href="/{{ mail.name }}">{{ mail.subject }}</a></tr>
{% endfor %}</table>"""
)
_MAIL = _PAGES.from_string(
    _HEAD
    + """<p><a href="/">All mails</a></p><h1>{{ mail.subject }}</h1>
<p class="dim">{{ mail.at }} UTC · from {{ mail.sender }} · to {{ mail.to }}</p><pre>{{ mail.text }}</pre>"""
)


@dataclass(frozen=True)
class Mail:
    name: str
    at: str
    sender: str
    to: str
    subject: str
    text: str

    @classmethod
    def read(cls, file: Path) -> "Mail":
        message = message_from_bytes(file.read_bytes(), policy=default)
        assert isinstance(message, EmailMessage)
        body = message.get_body(("plain",))
        nanoseconds = int(file.stem.partition("-")[0])
        return cls(
            name=file.stem,
            at=f"{datetime.fromtimestamp(nanoseconds / 1e9, UTC):%Y-%m-%d %H:%M:%S}",
            sender=str(message["From"]),
            to=str(message["To"]),
            subject=str(message["Subject"]),
            text=body.get_content() if body else "",
        )


class MailPages:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def list(self, _: Request) -> HTMLResponse:
        mails = [Mail.read(file) for file in sorted(self._folder.glob("*.eml"), reverse=True)]
        return HTMLResponse(_LIST.render(title="Mails of the sandbox", mails=mails))

    def show(self, request: Request) -> HTMLResponse:
        name = request.path_params["name"]
        file = next((file for file in self._folder.glob("*.eml") if file.stem == name), None)
        if file is None:
            raise HTTPException(404, "There is no such mail.")
        mail = Mail.read(file)
        return HTMLResponse(_MAIL.render(title=mail.subject, mail=mail))


def create_app(folder: Path) -> Starlette:
    pages = MailPages(folder)
    return Starlette(routes=[Route("/", pages.list), Route("/{name}", pages.show)])


def main() -> None:
    parser = argparse.ArgumentParser(prog="sandbox.mail_pages", description="The mails of the sandbox, for a browser.")
    parser.add_argument("--data", type=Path, required=True, help="folder of the mails")
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    serve(create_app(given.data), port=given.port)


if __name__ == "__main__":
    main()
