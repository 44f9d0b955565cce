"""The server's description of itself: the OpenAPI document, and the page in a real browser."""

import contextlib
import http.client
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.server import Server

CHROMIUM_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no browser here: Debian's packages chromium and chromium-driver bring one")
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = chromium
    for flag in (*CHROMIUM_FLAGS, f"--user-data-dir={tmp_path}"):
        options.add_argument(flag)
    driven = webdriver.Chrome(options=options, service=Service(driver))
    yield driven
    driven.quit()


def test_the_document_lists_the_routes_and_each_models_real_inputs(server: Server) -> None:
    status, body = server.get("/openapi.json")
    document = json.loads(body)
    assert status == 200
    assert document["openapi"].startswith("3.")
    assert {"get"} == set(document["paths"]["/v2/health/ready"])
    operation = document["paths"]["/v2/models/simple/infer"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    inputs = schema["properties"]["inputs"]["items"]["oneOf"]
    assert [each["properties"]["name"]["const"] for each in inputs] == ["INPUT0", "INPUT1"]
    assert {each["properties"]["datatype"]["const"] for each in inputs} == {"INT32"}
    for call in ("generate", "generate_stream"):
        assert set(document["paths"]["/v2/models/{model}/" + call]) == {"post"}
        operation = document["paths"][f"/v2/models/simple/{call}"]["post"]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        assert schema["required"] == ["INPUT0", "INPUT1"]


def test_every_example_of_the_document_is_a_request_that_the_server_answers(server: Server) -> None:
    _, body = server.get("/openapi.json")
    tried = set()
    for path, operations in json.loads(body)["paths"].items():
        content = operations.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})
        if path.endswith(("/infer", "/generate", "/generate_stream")) and "example" in content:
            connection = http.client.HTTPConnection(server.http_address, timeout=20)
            with contextlib.closing(connection):
                connection.request("POST", path, json.dumps(content["example"]))
                reply = connection.getresponse()
                text = reply.read().decode()
            # An example fits the model's declaration; whether the model likes its values is the model's affair.
            assert reply.status == 200 or "onnx runtime error" in text, (path, text)
            told = operations["post"]["responses"]["200"]["content"]
            assert reply.status != 200 or [reply.headers.get_content_type()] == list(told), (path, text)
            tried.add(path.rpartition("/")[2])
    assert tried == {"infer", "generate", "generate_stream"}


def test_a_newcomer_tries_a_model_in_a_browser(server: Server, browser: Any) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(f"http://{server.http_address}/docs")
    wait = WebDriverWait(browser, 20)
    card = wait.until(lambda driven: driven.find_element(By.ID, "simple"), "the model's card")
    card.find_element(By.TAG_NAME, "button").click()
    shown = wait.until(lambda _: card.find_element(By.TAG_NAME, "pre").text, "an answer")
    answer = json.loads(shown)
    assert answer["model_name"] == "simple"
    assert [each["name"] for each in answer["outputs"]] == ["OUTPUT0", "OUTPUT1"]
    assert answer["outputs"][0]["data"] == [2] * 16


@pytest.mark.parametrize("call", ["generate", "generate_stream"])
def test_a_newcomer_tries_a_call_without_tensors(server: Server, browser: Any, call: str) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select, WebDriverWait

    browser.get(f"http://{server.http_address}/docs")
    wait = WebDriverWait(browser, 20)
    card = wait.until(lambda driven: driven.find_element(By.ID, "simple"), "the model's card")
    Select(card.find_element(By.TAG_NAME, "select")).select_by_visible_text(call)
    card.find_element(By.TAG_NAME, "button").click()
    answer = json.loads(wait.until(lambda _: card.find_element(By.TAG_NAME, "pre").text, "an answer"))
    assert answer["OUTPUT0"] == [2] * 16


def test_the_page_shows_what_was_wrong_with_a_request(server: Server, browser: Any) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(f"http://{server.http_address}/docs")
    wait = WebDriverWait(browser, 20)
    card = wait.until(lambda driven: driven.find_element(By.ID, "simple"), "the model's card")
    text = card.find_element(By.TAG_NAME, "textarea")
    text.clear()
    text.send_keys('{"inputs": []}')
    card.find_element(By.TAG_NAME, "button").click()
    shown = wait.until(lambda _: card.find_element(By.TAG_NAME, "pre").text, "an answer")
    assert "expected 2 inputs but got 0 inputs for model 'simple'" in shown
