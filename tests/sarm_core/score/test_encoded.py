"""Answers kept on disk: the same numbers without the model, and never the wrong ones."""

import datetime
import os
import resource
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load, save

from sarm_core import load_sarm
from sarm_core.__main__ import main
from sarm_core.errors import RowError
from sarm_core.score import encoded as module
from sarm_core.score import part_index
from sarm_core.score.cache import EncodedParts, cache_size, prune
from sarm_core.score.encoded import encode_once
from sarm_core.score.part_index import PartIndex
from sarm_core.text.answers import conversation_of
from sarm_core.text.rows import Conversation
from tests.processes import forks
from tests.sarm_core.tiny_models import backbone, chatml, reference_checkpoint


@pytest.fixture(scope="module")
def scorer(tmp_path_factory):
    return load_sarm(reference_checkpoint(tmp_path_factory.mktemp("model") / "tiny"), dtype="float32")


@pytest.fixture
def answers():
    rng = np.random.default_rng(3)
    return [
        Conversation(input_ids=tuple(rng.integers(2, 300, rng.integers(3, 30)).tolist())) for _ in range(11)
    ]


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(module, "PART", 4)


def refuse(*_, **__):
    raise AssertionError("the model ran")


def dense(found):
    return found.matrix.csr.toarray()


def test_second_pass_gives_the_same_activations_without_the_model(
    scorer, answers, tmp_path, small_parts, monkeypatch
):
    first = encode_once(scorer, answers, folder=tmp_path)
    plain = scorer.score(answers)
    np.testing.assert_allclose(dense(first), plain.matrix.csr.toarray(), atol=1e-5)
    monkeypatch.setattr(type(scorer.encoder), "encode", refuse)
    second = encode_once(scorer, answers, folder=tmp_path)
    np.testing.assert_array_equal(dense(second), dense(first))
    np.testing.assert_array_equal(second.matrix.rewards, first.matrix.rewards)
    assert (first.reused, second.reused) == (0, 11)


@pytest.mark.slow
@pytest.mark.parametrize("writes_date", [True, False])
def test_a_date_parts_encodings_only_where_the_template_writes_it(tmp_path, writes_date):
    tokenizer = chatml()
    if writes_date:
        tokenizer.chat_template = "{{ strftime_now('%d %b %Y') }}\n" + tokenizer.chat_template
    model = backbone("llama", vocabulary=len(tokenizer))
    folder = reference_checkpoint(tmp_path / "tiny", model=model, tokenizer=tokenizer)
    row = [{"prompt": "Which day is it?", "response": "I do not know."}]
    days = [None, datetime.date(2026, 1, 2), datetime.date(2027, 3, 4)]
    scorers = [load_sarm(folder, dtype="float32", date=day) for day in days]
    conversations = [conversation_of(row[0])]
    reused = [encode_once(scorer, conversations, folder=tmp_path / "kept").reused for scorer in scorers]
    assert reused == ([0, 0, 0] if writes_date else [0, 1, 1])
    assert len({scorer.encoding_key for scorer in scorers}) == (3 if writes_date else 1)
    # What is kept is what a model that keeps nothing gives for that day.
    for scorer in scorers:
        kept = encode_once(scorer, conversations, folder=tmp_path / "kept")
        assert kept.reused == 1
        np.testing.assert_array_equal(dense(kept), scorer.score(row).matrix.csr.toarray())


def test_interrupted_work_goes_on_at_the_last_whole_part(scorer, answers, tmp_path, small_parts):
    def stop(done, total):
        if done > 0.5 * total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_once(scorer, answers, folder=tmp_path, progress=stop)
    assert not list(tmp_path.rglob("*.tmp"))
    again = encode_once(scorer, answers, folder=tmp_path)
    assert again.reused in (4, 8)
    np.testing.assert_allclose(dense(again), scorer.score(answers).matrix.csr.toarray(), atol=1e-5)


def changed(path):
    """The part with one activation another, its checksum left as it was."""
    arrays, states = load(path.read_bytes()), safe_open(path, "numpy").metadata()
    arrays["data"] = arrays["data"] + 1
    return save(arrays, states)


DAMAGE = {
    "cut": lambda path: path.read_bytes()[: path.stat().st_size // 2],
    "empty": lambda path: b"",
    "one bit": lambda path: path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]),
    "changed": changed,
    "not a file of ours": lambda path: b"something else",
}


@pytest.mark.parametrize("index", ["with its index", "without"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_part_is_noticed_and_encoded_anew(scorer, answers, tmp_path, damage, index):
    wanted = dense(encode_once(scorer, answers, folder=tmp_path))
    (path,) = tmp_path.rglob("*.safetensors")
    path.write_bytes(DAMAGE[damage](path))
    if index == "without":
        path.with_name("index").unlink()
    again = encode_once(scorer, answers, folder=tmp_path)
    np.testing.assert_array_equal(dense(again), wanted)
    assert again.reused == 0 and len(again.notes) == 1 and "damaged" in again.notes[0]
    found = encode_once(scorer, answers, folder=tmp_path)
    assert found.reused == 11 and found.notes == ()


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), MemoryError()])
def test_a_part_that_cannot_be_read_just_now_is_kept(
    scorer, answers, tmp_path, small_parts, monkeypatch, error
):
    encode_once(scorer, answers, folder=tmp_path)
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*.safetensors")}
    read = Path.read_bytes

    def fail(path):
        if path.suffix == ".safetensors":
            raise error
        return read(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", fail)
        found = encode_once(scorer, answers[:2], folder=tmp_path)
    assert found.reused == 0 and len(found.notes) == 1 and "cannot be read" in found.notes[0]
    assert all(path.read_bytes() == body for path, body in kept.items())
    assert encode_once(scorer, answers, folder=tmp_path).reused == len(answers)


def test_a_mistake_of_ours_is_an_error_and_removes_nothing(scorer, answers, tmp_path, monkeypatch):
    encode_once(scorer, answers, folder=tmp_path)
    (path,) = tmp_path.rglob("*.safetensors")

    def mistake(self, arrays):
        raise AttributeError("a mistake in the program")

    monkeypatch.setattr(EncodedParts, "_piece", mistake)
    with pytest.raises(AttributeError):
        encode_once(scorer, answers, folder=tmp_path)
    assert path.exists()


def test_a_part_of_another_model_is_passed_over_and_stays(scorer, answers, tmp_path):
    other = load_sarm(reference_checkpoint(tmp_path / "other", seed=5), dtype="float32")
    cache = tmp_path / "cache"
    encode_once(other, answers, folder=cache)
    (foreign,) = cache.rglob("*.safetensors")
    mine = cache / scorer.encoding_key[:16] / foreign.name
    mine.parent.mkdir()
    foreign.rename(mine)
    found = encode_once(scorer, answers, folder=cache)
    assert found.reused == 0 and "belongs to another model" in found.notes[0] and mine.exists()
    np.testing.assert_array_equal(dense(found), dense(encode_once(scorer, answers, use_cache=False)))


class Counting:
    """A scorer that says how many answers the model had to read."""

    def __init__(self, scorer):
        self.scorer, self.read = scorer, 0

    def __getattr__(self, name):
        return getattr(self.scorer, name)

    def encode(self, sequences, **how):
        self.read += len(sequences)
        return self.scorer.encode(sequences, **how)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=st.lists(st.lists(st.integers(0, 10), min_size=1, max_size=14), min_size=1, max_size=4))
def test_the_model_reads_each_answer_once_whatever_lists_it_comes_in(
    scorer, answers, tmp_path_factory, small_parts, asked
):
    """Other orders, overlaps, repeats, more rows in front: never more than the new ones, and the same numbers."""
    folder, counting = tmp_path_factory.mktemp("cache"), Counting(scorer)
    plain = scorer.score(answers).matrix.csr.toarray()
    seen = set()
    for numbers in asked:
        found = encode_once(counting, [answers[i] for i in numbers], folder=folder)
        assert found.reused == sum(i in seen for i in numbers)
        seen.update(numbers)
        assert counting.read == len(seen)
        np.testing.assert_allclose(dense(found), plain[numbers], atol=1e-5)
        assert found.notes == ()


def test_a_row_in_front_costs_one_answer(scorer, answers, tmp_path):
    encode_once(scorer, answers[1:], folder=tmp_path)
    assert encode_once(scorer, answers, folder=tmp_path).reused == len(answers) - 1


def test_cut_tokens_stay_with_their_answer(scorer, answers, tmp_path):
    short = load_sarm(scorer.checkpoint.folder, dtype="float32", max_length=5)
    wanted = [max(0, len(answer.input_ids) - 5) for answer in answers]
    assert encode_once(short, answers, folder=tmp_path).n_cut.tolist() == wanted
    again = encode_once(short, answers[::-1], folder=tmp_path)
    assert again.reused == len(answers) and again.n_cut.tolist() == wanted[::-1]


def _in_a_process(folder, cache, numbers, barrier):
    scorer = load_sarm(folder, dtype="float32")
    rng = np.random.default_rng(3)
    every = [
        Conversation(input_ids=tuple(rng.integers(2, 300, rng.integers(3, 30)).tolist())) for _ in range(11)
    ]
    barrier.wait()
    for i in numbers:
        found = encode_once(scorer, [every[i]], folder=cache)
        assert found.notes == ()


@pytest.mark.slow
def test_processes_that_write_at_once_lose_nothing(scorer, answers, tmp_path):
    context = forks()
    barrier = context.Barrier(2)
    folder = scorer.checkpoint.folder
    other = context.Process(target=_in_a_process, args=(folder, tmp_path, range(8), barrier))
    other.start()
    _in_a_process(folder, tmp_path, range(10, 2, -1), barrier)
    other.join()
    assert other.exitcode == 0
    found = encode_once(scorer, answers, folder=tmp_path)
    assert found.reused == len(answers) and found.notes == ()
    np.testing.assert_allclose(dense(found), scorer.score(answers).matrix.csr.toarray(), atol=1e-5)


def test_what_a_killed_writer_left_is_no_answer(scorer, answers, tmp_path):
    encode_once(scorer, answers[:4], folder=tmp_path)
    (path,) = tmp_path.rglob("*.safetensors")
    half = path.with_name(f".{'0' * 32}.safetensors.17.4.tmp")
    half.write_bytes(path.read_bytes()[:300])
    found = encode_once(scorer, answers, folder=tmp_path)
    assert found.reused == 4 and found.notes == ()
    prune(tmp_path)
    assert not list(tmp_path.iterdir())


def test_another_model_or_length_limit_does_not_reuse(scorer, answers, tmp_path):
    encode_once(scorer, answers, folder=tmp_path)
    folder = scorer.checkpoint.folder
    short = load_sarm(folder, dtype="float32", max_length=5)
    found = encode_once(short, answers, folder=tmp_path)
    assert found.reused == 0 and found.n_cut.max() > 0
    other = load_sarm(reference_checkpoint(tmp_path / "other", seed=5), dtype="float32")
    again = encode_once(other, answers, folder=tmp_path)
    assert again.reused == 0
    np.testing.assert_allclose(dense(again), other.score(answers).matrix.csr.toarray(), atol=1e-5)


def test_another_precision_does_not_reuse(scorer, answers, tmp_path):
    encode_once(scorer, answers, folder=tmp_path)
    low = load_sarm(scorer.checkpoint.folder, dtype="bfloat16")
    assert encode_once(low, answers, folder=tmp_path).reused == 0
    assert encode_once(low, answers, folder=tmp_path).reused == 11


def test_a_folder_that_cannot_be_written_is_a_note(scorer, answers, tmp_path, small_parts):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    found = encode_once(scorer, answers, folder=blocked)
    assert len(found.matrix) == 11 and len(found.notes) == 1 and "cannot be" in found.notes[0]


def test_a_full_disk_is_a_note(scorer, answers, tmp_path, small_parts):
    wanted = dense(encode_once(scorer, answers, use_cache=False))
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        found = encode_once(scorer, answers, folder=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    np.testing.assert_array_equal(dense(found), wanted)
    assert len(found.notes) == 1
    assert "cannot be written (File too large); the next run encodes again" in found.notes[0]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


# -- the index -------------------------------------------------------------------------------------------


@pytest.fixture(params=["the same process", "another process"])
def opened(request, monkeypatch):
    """The parts whose content is read; by a process that read the index before, or by one that did not."""
    if request.param == "another process":
        monkeypatch.setattr(part_index, "_seen", Forgetful())
    names, read = [], Path.read_bytes

    def counting(path):
        if path.suffix == ".safetensors":
            names.append(path.name)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", counting)
    return names


def test_a_look_up_opens_the_parts_that_hold_the_answers_and_no_other(
    scorer, answers, tmp_path, monkeypatch, opened
):
    monkeypatch.setattr(module, "PART", 1)
    encode_once(scorer, answers, folder=tmp_path)
    monkeypatch.setattr("sarm_core.score.cache.safe_open", only_read(opened))
    opened.clear()
    assert encode_once(scorer, [answers[7], answers[3]], folder=tmp_path).reused == 2
    assert len(opened) == 2
    opened.clear()
    assert encode_once(scorer, [Conversation(input_ids=(2, 3, 4))], folder=tmp_path).reused == 0
    assert opened == []


class Forgetful(dict):
    def __setitem__(self, key, value):
        pass


def only_read(opened):
    def check(path, framework):
        assert path.name in opened, "a part was opened to look for hashes"
        return safe_open(path, framework)

    return check


@pytest.mark.parametrize("harm", ["gone", "cut", "one bit", "noise", "a block lost", "twice"])
def test_an_index_that_was_harmed_loses_no_answer_and_is_made_anew(
    scorer, answers, tmp_path, small_parts, harm, monkeypatch, opened
):
    wanted = dense(encode_once(scorer, answers, folder=tmp_path))
    (path,) = tmp_path.rglob("index")
    body = path.read_bytes()
    block = len(body) // 3
    path.write_bytes(
        {
            "gone": b"",
            "cut": body[:-5],
            "one bit": body[:40] + bytes([body[40] ^ 1]) + body[41:],
            "noise": b"no index at all" * 9,
            "a block lost": body[:block] if len(body) % 3 == 0 else body[: body.rindex(b"part")],
            "twice": body + body,
        }[harm]
    )
    if harm == "gone":
        path.unlink()
    found = encode_once(scorer, answers, folder=tmp_path)
    assert found.reused == 11 and found.notes == ()
    np.testing.assert_array_equal(dense(found), wanted)
    opened.clear()
    monkeypatch.setattr("sarm_core.score.cache.safe_open", only_read(opened))
    assert encode_once(scorer, answers[:1], folder=tmp_path).reused == 1 and len(opened) == 1


def test_an_index_that_names_a_part_wrongly_is_not_believed(scorer, answers, tmp_path, small_parts):
    """Two parts whose blocks say each other's hashes: the parts themselves are asked."""
    wanted = dense(encode_once(scorer, answers[:8], folder=tmp_path))
    (path,) = tmp_path.rglob("index")
    index = PartIndex(path.parent, refuse)
    (one, hashes), (two, others) = index._known.hashes.items()
    path.unlink()
    index.add(one, others)
    index.add(two, hashes)
    np.testing.assert_array_equal(dense(encode_once(scorer, answers[:8], folder=tmp_path)), wanted)


def test_what_was_cleared_leaves_the_index(scorer, answers, tmp_path, small_parts):
    encode_once(scorer, answers, folder=tmp_path)
    (index,) = tmp_path.rglob("index")
    size = index.stat().st_size
    long_ago = time.time() - 10 * 86_400
    for path in list(tmp_path.rglob("*.safetensors"))[:2]:
        os.utime(path, (long_ago, long_ago))
    assert prune(tmp_path, older_than=5).files == 2
    found = encode_once(scorer, answers, folder=tmp_path)
    assert found.notes == () and 0 < found.reused < 8
    assert index.stat().st_size <= size
    assert encode_once(scorer, answers, folder=tmp_path).reused == 11


def test_a_bad_row_is_named_before_the_model_runs(scorer, answers, tmp_path, small_parts, monkeypatch):
    monkeypatch.setattr(type(scorer.encoder), "encode", refuse)
    bad = [*answers[:9], Conversation(input_ids=(3, 5_000_000)), *answers[9:]]
    places = [("a.jsonl", number) for number in range(1, len(bad) + 1)]
    with pytest.raises(RowError, match=r"a\.jsonl, row 10: .*vocabulary"):
        encode_once(scorer, bad, places=places, folder=tmp_path)
    assert not list(tmp_path.rglob("*.safetensors"))


# -- what is kept, and getting rid of it -----------------------------------------------------------------


def test_only_what_was_not_used_for_so_long_goes(scorer, answers, tmp_path, small_parts):
    encode_once(scorer, answers[:4], folder=tmp_path)
    encode_once(scorer, answers[4:8], folder=tmp_path)
    long_ago = time.time() - 10 * 86_400
    for path in tmp_path.rglob("*.safetensors"):
        os.utime(path, (long_ago, long_ago))
    encode_once(scorer, answers[:4], folder=tmp_path)  # used today
    assert prune(tmp_path, older_than=20).files == 0
    assert prune(tmp_path, older_than=5).files == 1
    assert encode_once(scorer, answers[:8], folder=tmp_path).reused == 4


def test_the_command_shows_and_clears_the_cache_and_nothing_else(scorer, answers, tmp_path, capsys):
    encode_once(scorer, answers, folder=tmp_path)
    (path,) = tmp_path.rglob("*.safetensors")
    mine = [tmp_path / "index", path.with_name("letter.txt"), tmp_path / "other" / f"{'a' * 32}.safetensors"]
    for other in mine:
        other.parent.mkdir(exist_ok=True)
        other.write_text("mine")
    size = path.stat().st_size + path.with_name("index").stat().st_size
    assert main(["cache", "--cache", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path}: 1 file, {size / 1e6:,.1f} MB\n"
    assert main(["cache", "--cache", str(tmp_path), "--clear"]) == 0
    assert capsys.readouterr().out.endswith(f"{tmp_path}: 0 files, 0.0 MB\n")
    assert not path.exists() and all(other.read_text() == "mine" for other in mine)
    assert encode_once(scorer, answers, folder=tmp_path).reused == 0


def test_a_cache_that_is_not_there_is_empty_and_a_file_in_its_place_is_one_line(tmp_path, capsys):
    assert cache_size(tmp_path / "nowhere").files == 0
    assert prune(tmp_path / "nowhere").files == 0
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    assert main(["cache", "--cache", str(blocked), "--clear"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
