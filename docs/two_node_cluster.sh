#!/usr/bin/env bash
# Two Ray nodes, each a `ray start` of its own, and a conversion that joins them: the commands of docs/cluster.md, here on
# one machine. Its shards are compared with those of a single worker, byte for byte.
#
#   docs/two_node_cluster.sh [DIRECTORY]        needs the project installed (pip install -e .); BIN=.venv/bin if it is there
set -euo pipefail
cd "$(dirname "$0")/.."

work=${1:-$(mktemp -d)}
bin=${BIN:+$BIN/}
port=${PORT:-6381}
export RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=disabled  # see docs/cluster.md for a cluster that others can reach
mkdir -p "$work"

nodes=()
stop() {
  for node in "${nodes[@]}"; do kill "$node" 2>/dev/null || true; done
  wait
}
trap stop EXIT

count_nodes() {
  "${bin}python" -c "import ray; ray.init('127.0.0.1:$port', log_to_driver=False, logging_level='error')
print(sum(node['Alive'] for node in ray.nodes()))" 2>/dev/null || echo 0
}

wait_for_nodes() {
  for _ in $(seq 30); do
    [ "$(count_nodes)" -ge "$1" ] && return
    kill -0 "${nodes[-1]}" || break
    sleep 1
  done
  tail -n 3 "$work"/*.log >&2
  exit 1
}

"${bin}python" -m demo.make_videos "$work/videos" --train 4 --validation 2 --seed 1

echo "== on the first machine: ray start --head"
"${bin}ray" start --head --port "$port" --num-cpus 1 --include-dashboard false --block --temp-dir "$work/ray" \
  >"$work/head.log" 2>&1 &
nodes+=($!)
wait_for_nodes 1

echo "== on each further one: ray start --address"
"${bin}ray" start --address "127.0.0.1:$port" --num-cpus 1 --block >"$work/node.log" 2>&1 &
nodes+=($!)
wait_for_nodes 2

options=(--config configs/preprocess/demo.yaml --source "$work/videos" --set samples_per_shard=4)
echo "== the conversion, on both"
"${bin}python" -m preprocess "${options[@]}" --output "$work/cluster" --ray-address "127.0.0.1:$port"
echo "== the same with one worker"
"${bin}python" -m preprocess "${options[@]}" --output "$work/alone" --workers 1

hashes() { (cd "$1" && find . -name '*.tar' -print0 | sort -z | xargs -0 sha256sum); }
diff <(hashes "$work/cluster") <(hashes "$work/alone")
echo "== $(hashes "$work/cluster" | wc -l) shards, the same bytes; reports: $work/cluster/report.html, $work/alone/report.html"
