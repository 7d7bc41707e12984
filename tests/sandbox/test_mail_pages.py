"""The pages of the sandbox's mails."""

from email.message import EmailMessage
from pathlib import Path

import httpx2
import pytest

from sandbox.mail_pages import create_app


def mailbox_with_a_mail(folder: Path) -> httpx2.AsyncClient:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "orders@shop.example", "c-1@customer.example", "Cup <b> & more"
    mail.set_content("Hello,\n\nA cup & <b>more</b>.\n")
    (folder / "1772409547000000000-1.eml").write_bytes(bytes(mail))
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(create_app(folder)), base_url="http://mails")


@pytest.mark.parametrize(
    ("wanted", "language", "head", "count", "back"),
    [
        ("", "en", "Mails of the sandbox", "1 mail.", "All mails"),
        ("fr, en;q=0.5", "en", "Mails of the sandbox", "1 mail.", "All mails"),
        ("de-AT,de;q=0.9,en;q=0.8", "de", "E-Mails der Sandbox", "1 E-Mail.", "Alle E-Mails"),
    ],
)
async def test_the_pages_are_in_the_language_of_the_browser(
    tmp_path: Path, *, wanted: str, language: str, head: str, count: str, back: str
) -> None:
    async with mailbox_with_a_mail(tmp_path) as browser:
        browser.headers["accept-language"] = wanted
        page = (await browser.get("/")).text
        assert f'<html lang="{language}">' in page
        assert f"<title>{head}</title>" in page
        assert count in page
        mail = (await browser.get("/1772409547000000000-1")).text
        assert back in mail
        assert "A cup &amp; &lt;b&gt;more&lt;/b&gt;." in mail


async def test_a_mail_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    async with mailbox_with_a_mail(tmp_path) as browser:
        answer = await browser.get("/2", headers={"accept-language": "de"})
        assert (answer.status_code, answer.text) == (404, "Diese E-Mail gibt es nicht.")
