"""`ragkit train`: one module a command."""

from __future__ import annotations

import typer

from ragkit.cli.options import STYLE
from ragkit.cli.train.answerability import answerability
from ragkit.cli.train.embedding import embedding
from ragkit.cli.train.reranker import reranker

app = typer.Typer(**STYLE, help="Fit models to your own documents; nothing is installed that does not help there.")

app.command("reranker", help="Train a reranker on questions about your index; install it if it helps there.")(reranker)
app.command("answerability", help="Calibrate on labelled questions when to refuse.")(answerability)
app.command("embedding", help="Tune the embedding model on your index; install it if it helps there.")(embedding)
