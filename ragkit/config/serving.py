"""Section `serve` of the configuration: the server."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ragkit.config.part import Address, Part, PathField, runtime


class Serve(Part):
    """The server: where it listens, what it keeps, and what one caller may ask of it."""

    host: str = runtime("127.0.0.1", description="Address to listen on; without an API key only this machine's own.")
    port: int = runtime(8080, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    folder: PathField = runtime(
        Path(".ragkit/serve"), description="Folder of API keys, uploaded documents, feedback and sessions."
    )
    requests_per_minute: int = runtime(
        120, ge=1, le=1_000_000, description="What a key may ask in a minute, unless it was made with another limit."
    )
    concurrency_per_key: int = runtime(8, ge=1, le=10_000, description="Requests of one key at once; more get 429.")
    concurrency: int = runtime(16, ge=1, le=10_000, description="Requests of all keys that are worked on at once.")
    waiting: int = runtime(64, ge=0, le=100_000, description="Requests that may wait for that; more get 429.")
    timeout_s: float = runtime(120.0, gt=0, le=86_400, description="Time limit of a request, waiting included.")
    stop_s: float = runtime(8.0, gt=0, le=9, description="How long requests may go on when the server is told to stop.")
    max_request_kb: int = runtime(256, ge=1, le=1_000_000, description="Largest body of a request but an upload.")
    max_upload_mb: float = runtime(50.0, gt=0, le=100_000, description="Largest document that can be uploaded.")
    max_uploads_waiting: int = runtime(100, ge=1, le=100_000, description="Uploads of a tenant that wait for indexing.")
    upload_types: list[str] = runtime(
        [".md", ".txt", ".rst", ".html", ".pdf", ".docx", ".pptx", ".xlsx", ".epub", ".eml"],
        description="Suffixes of files that can be uploaded.",
    )
    cors_origins: list[str] = runtime(
        [], description="Origins whose pages may call the server from a browser, such as https://intranet.example."
    )
    condense: Literal["model", "rules"] = runtime(
        "model", description="What makes a follow-up question stand alone; without a language model it is rules."
    )
    memory_tokens: int = runtime(
        1000, ge=50, le=100_000, description="What is kept of a conversation word for word; the rest is summarised."
    )
    log: Literal["text", "json"] = runtime("text", description="Form of the log lines on stderr.")
    log_questions: bool = runtime(False, description="Write questions and answers into logs and traces.")
    traces_url: Address | None = runtime(
        None, description="OpenTelemetry collector (OTLP over HTTP), such as http://localhost:4318/v1/traces."
    )
