"""One law for every command with a folder of its own: what a killed start left there is no reason to refuse the next one."""

from __future__ import annotations

import pytest

from pipelines import evaluate_folder
from pipelines.output_folder import refuse_other_files
from pretrain.runtime.run_dir import RunDirectory, refuse_other_run
from synth.errors import RefusalError

CHECKS = {
    "audit, score, census, probe": (lambda out: refuse_other_files(out, "scores.json", "a score"), "scores.json"),
    "evaluate": (lambda out: evaluate_folder.check_folder(out, {}), "evaluation.json"),
    "evaluate several": (evaluate_folder.check_comparison_folder, "scores.json"),
    "training": (lambda out: refuse_other_run(RunDirectory(out), {}), "recipe.json"),
}


@pytest.mark.parametrize("command", CHECKS)
def test_leftovers_of_a_killed_first_write_do_not_stand_in_the_way(tmp_path, command):
    check, first_file = CHECKS[command]
    check(tmp_path)
    (tmp_path / f".{first_file}.ab12.partial").write_text("torn")
    check(tmp_path)
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(RefusalError, match="holds other files than"):
        check(tmp_path)


def test_leftovers_of_one_evaluation_do_not_stand_in_the_way_of_several(tmp_path):
    (tmp_path / "tophat").mkdir()
    (tmp_path / "tophat/.evaluation.json.ab12.partial").write_text("torn")
    evaluate_folder.check_comparison_folder(tmp_path)
    (tmp_path / "tophat/notes.txt").write_text("mine")
    with pytest.raises(RefusalError, match=r"holds other files than evaluations \(tophat\)"):
        evaluate_folder.check_comparison_folder(tmp_path)
