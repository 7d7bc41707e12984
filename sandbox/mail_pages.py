"""The mails that the sandbox's mail server has taken, as pages for a browser."""

import argparse
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from runtime.texts import find_language, translations
from sandbox.serving import serve


@cache
def _pages(language: str) -> Environment:
    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, extensions=["jinja2.ext.i18n"]
    )
    pages.policies["ext.i18n.trimmed"] = True
    pages.install_gettext_translations(translations(language), newstyle=True)  # type: ignore[attr-defined]
    return pages


def _language(request: Request) -> str:
    """The first of ours that the browser asks for."""
    return find_language(request.headers.get("accept-language", ""))


def _render(request: Request, page: str, **words: object) -> HTMLResponse:
    language = _language(request)
    return HTMLResponse(_pages(language).get_template(page).render(language=language, **words))


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

    def list(self, request: Request) -> HTMLResponse:
        mails = [Mail.read(file) for file in sorted(self._folder.glob("*.eml"), reverse=True)]
        return _render(request, "mails.html", mails=mails)

    def show(self, request: Request) -> HTMLResponse:
        name = request.path_params["name"]
        file = next((file for file in self._folder.glob("*.eml") if file.stem == name), None)
        if file is None:
            gettext = translations(_language(request)).gettext
            raise HTTPException(404, gettext("There is no such mail."))
        return _render(request, "mail.html", mail=Mail.read(file))


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
