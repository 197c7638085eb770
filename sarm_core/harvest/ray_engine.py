"""The Ray engine: the same jobs and the same pure function, on a pool of actors that each hold the model.

One lazy read task streams the jobs (the corpus is never held), actors run them, and results come back in
the order of the jobs, so the store is the local engine's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from sarm_core.errors import SarmError
from sarm_core.harvest.activity import ChunkActivity
from sarm_core.harvest.tracing import TracePart
from sarm_core.harvest.work import Engine, Work
from sarm_core.score.scorer import Scorer, load_sarm

__all__ = ["run_on_ray"]


def run_on_ray(scorer: Scorer, workers: int) -> Engine:
    """An engine over `workers` actors, in the Ray cluster of the environment or a local one.

    Each loads the checkpoint of `scorer` with the same dtype and maximum length, and computes with as
    many threads, since sums may differ in their last bit with the number of threads. Raises SarmError when
    Ray is not installed.
    """
    try:
        import pandas
        import ray
        from ray.data import ActorPoolStrategy, DataContext
        from ray.data.block import BlockMetadata
        from ray.data.datasource import Datasource, ReadTask
    except ImportError:
        raise SarmError(
            'the Ray engine needs the optional extra: pip install "sarm-explorer[ray]", or --engine local'
        ) from None
    device = scorer.device.type
    loaded_with: dict[str, Any] = {
        "source": scorer.checkpoint.source
        if scorer.checkpoint.source == "demo"
        else str(scorer.checkpoint.folder),
        "device": device,
        "dtype": scorer.dtype,
        "max_length": scorer.max_length,
    }
    threads = torch.get_num_threads()

    class Jobs(Datasource):  # type: ignore[misc]
        """One read task that yields a block for each job as it is asked for."""

        def __init__(self, work: Work):
            self.work = work

        def estimate_inmemory_data_size(self) -> int | None:
            return None

        def get_read_tasks(self, parallelism: int, *args: Any, **named: Any) -> list[Any]:
            work = self.work

            def blocks() -> Iterator[Any]:
                for job in work.jobs():
                    yield pandas.DataFrame({"job": [job]})

            metadata = BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None, input_files=None)
            return [ReadTask(blocks, metadata)]

    class Runner:
        """An actor with the model."""

        def __init__(self, work: Work):
            torch.set_num_threads(threads)
            self.work = work
            self.scorer = load_sarm(**loaded_with)

        def __call__(self, batch: Any) -> Any:
            return pandas.DataFrame({"result": [self.work.run(self.scorer, job) for job in batch["job"]]})

    def run(work: Work) -> Iterator[ChunkActivity | TracePart]:
        if not ray.is_initialized():
            # A place for every actor and one for the reader: with fewer, the actors wait for a reader that
            # waits for a place. (A cluster of one's own needs them as well.)
            ray.init(
                num_cpus=workers + 1, log_to_driver=False, include_dashboard=False, configure_logging=False
            )
        context = DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        results = ray.data.read_datasource(Jobs(work), override_num_blocks=1).map_batches(
            Runner,
            fn_constructor_args=(work,),
            batch_size=1,
            batch_format="pandas",
            compute=ActorPoolStrategy(size=workers),
            num_gpus=1 if device == "cuda" else 0,
        )
        try:
            for row in results.iter_rows():
                yield row["result"]
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, SarmError):
                raise cause from None
            raise SarmError(f"Ray stopped: {str(error).strip().splitlines()[-1][:200]}") from None

    return run
