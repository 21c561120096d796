"""The trained networks to measure."""

from collections.abc import Callable, Sequence
from pathlib import Path

from common import LabError
from common.console import relative_path
from common.data.datasets import Dataset
from common.inference.measurement import Network
from common.results.store import Results
from common.settings import Settings
from common.statistics.intervals import converged, mean_or_wilson
from common.sweep.sweep import sweep, trained
from common.training.evaluation import evaluate
from common.training.loop import Run


def trained_networks(
    runs: Sequence[Run],
    results_in: Callable[[Path], Results],
    settings: Settings,
    dataset: Dataset,
) -> list[Network]:
    """The networks of one script's runs, seed 0. Runs without weights are trained first.

    `results_in` opens the script's results in a folder. A saved run without weights is retrained in
    the folder results/weights, so that the saved results do not change.

    Raises:
        LabError: a run fails, or the weights file belongs to another run.
    """
    folder = settings.results_dir
    results, again = results_in(folder), results_in(folder / "weights")
    stores = {
        run: again if run in results and not results.weights_path(run).exists() else results
        for run in runs
    }
    for store in (results, again):
        missing = [
            run for run in runs if stores[run] is store and not store.weights_path(run).exists()
        ]
        if missing:
            print(f"{len(missing)} of {len(runs)} networks to train", flush=True)
            if sweep(missing, store, lambda: dataset, settings.jobs, fresh=True):
                raise LabError("not all networks could be trained")
    return [trained_network(run, stores[run], results, dataset) for run in runs]


def trained_network(run: Run, store: Results, results: Results, dataset: Dataset) -> Network:
    """The network of a run in `store`, with the mean accuracy over its seeds in `results`.

    Raises:
        LabError: the network's accuracy differs from the accuracy in `store`.
    """
    model = trained(run, store)
    test = evaluate(model, dataset, dataset.test)
    recorded = store.select([run]).set_index("seed")["test_accuracy"].get(run.seed, -1)
    if abs(test.accuracy - recorded) > 0.001:
        path = relative_path(store.weights_path(run))
        raise LabError(f"{path} does not give the accuracy of {run}: delete it")
    seeds = converged(results.select([run]))["test_accuracy"]
    return Network(run, model, test, mean_or_wilson(seeds, len(dataset.test.labels)))
