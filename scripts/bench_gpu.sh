#!/usr/bin/env bash
# What a GPU brings: vLLM in process and as a server against bare vLLM, prefix caching, quantised weights, speculative
# decoding, embedding and reranking; into docs/benchmarks.md. Fails at once, with the reason, where there is no GPU.
#   bash scripts/bench_gpu.sh --list         what would be run, with which models
#   bash scripts/bench_gpu.sh --help         every option
#   bash scripts/bench_gpu.sh --device cpu   a rehearsal with a tiny model on vLLM's CPU build (scripts/vllm_cpu.sh)
# Runs in $PYTHON, else in .venv: pip install 'ragkit[local,openai,train,vllm]' there. Data sets are looked for in
# ../shared/data, or where RAGKIT_BENCH_DATA says; without them the prompts are made of eval/samples.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-}
case " $* " in
  *" --device cpu "* | *" --device=cpu "*)
    if [ -z "$python" ]; then
      case " $* " in *" --list "* | *" --help "*) ;; *) bash scripts/vllm_cpu.sh build ;; esac
      python=.venv-vllm/bin/python
    fi
    ;;
esac
if [ -z "$python" ]; then
  if [ -x .venv/bin/python ]; then python=.venv/bin/python; else python=python3; fi
fi
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
for argument in "$@"; do
  if [ "$argument" = --download ]; then unset HF_HUB_OFFLINE; fi
done
exec "$python" -m eval.bench.gpu_run "$@"
