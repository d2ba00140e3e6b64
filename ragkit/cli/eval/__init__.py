"""`ragkit eval`: one module a command."""

from __future__ import annotations

import typer

from ragkit.cli.eval.checklist import checklist
from ragkit.cli.eval.compare import compare
from ragkit.cli.eval.judge import judge
from ragkit.cli.eval.label import label
from ragkit.cli.eval.questions import generate, split
from ragkit.cli.eval.report import report
from ragkit.cli.eval.retrieval import retrieval
from ragkit.cli.eval.run import run
from ragkit.cli.eval.runs import runs
from ragkit.cli.eval.show import show, worst
from ragkit.cli.eval.sweep import sweep
from ragkit.cli.options import STYLE

app = typer.Typer(**STYLE, help="Measure the system on a data set.")

app.command("run", help="Ask every question of a suite, measure the answers, and judge the suite's gates.")(run)
app.command("checklist", help="Run the nine checks of the RAG checklist with the questions of a suite.")(checklist)
app.command("compare", help="Is the second run better? Question by question, with intervals.")(compare)
app.command("report", help="Print a finished run again, or write its HTML page; no model is called.")(report)
app.command("runs", help="List the runs so far.")(runs)
app.command("worst", help="List the questions of a run that went worst.")(worst)
app.command("show", help="Follow one question of a run through every stage.")(show)
app.command("sweep", help="Try config values on the tuning part; report the best once on the test part.")(sweep)
app.command("judge", help="Let judges score the answers of a run.")(judge)
app.command("label", help="Judge answers of a run with single keys; the judges are corrected by it.")(label)
app.command("generate", help="Make questions from the sentences of the index, for a person to review.")(generate)
app.command("split", help="Part questions by document into a tuning and a test part.")(split)
app.command("retrieval", help="Index a BEIR data set once (kept in the cache) and measure retrieval on it.")(retrieval)
