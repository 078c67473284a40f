"""Bad input gets an error that names the argument, what was got and what was expected."""

import pytest
import torch

import ostrl
from ostrl import diagnostics, exact, weighting

F = torch.float64
LOGITS = torch.zeros(2, 3, dtype=F)
REWARDS = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 2.0]], dtype=F)
R = torch.tensor([[0.0, 1.0, 0.5]], dtype=F)
POLICY, TASK = ostrl.CategoricalPolicy(LOGITS), ostrl.TableTask(REWARDS)
RLOO, SFT, REST = ostrl.METHODS["rloo"], ostrl.METHODS["sft"], ostrl.METHODS["rest"]
NAN, INF = torch.tensor([[0.0, torch.nan]], dtype=F), torch.tensor([[torch.inf, 0.0]], dtype=F)
IDX = torch.tensor([0, 1])


def G():
    return torch.Generator().manual_seed(0)


CASES = {
    # policies
    "logits NaN": (lambda: ostrl.CategoricalPolicy(NAN), ValueError, "logits must be finite, got 1 NaN"),
    "logits inf": (lambda: ostrl.CategoricalPolicy(INF), ValueError, "logits must be finite"),
    "logits 1-d": (lambda: ostrl.CategoricalPolicy(LOGITS[0]), ValueError, r"logits .*\[O, A\].*got shape \[3\]"),
    "logits ints": (lambda: ostrl.CategoricalPolicy(LOGITS.long()), TypeError, "logits .*floating.*torch.int64"),
    "logits list": (lambda: ostrl.CategoricalPolicy([[0.0]]), TypeError, "logits must be a torch.Tensor, got list"),
    "logits empty": (lambda: ostrl.CategoricalPolicy(LOGITS[:0]), ValueError, "logits must not be empty"),
    "vocabulary": (lambda: ostrl.StringPolicy(1, 1, 3), ValueError, "vocab_size must be at least 2"),
    "length": (lambda: ostrl.StringPolicy(1, 3, 0), ValueError, "max_length must be at least 1, got 0"),
    "length float": (lambda: ostrl.StringPolicy(1, 3, 2.0), TypeError, "max_length must be an int, got float"),
    "too many strings": (lambda: ostrl.StringPolicy(1, 50, 8), ValueError, r"make [\d,]+ strings"),
    "prompt out of range": (
        lambda: POLICY.log_prob(torch.tensor([2]), IDX[None, :1]),
        ValueError,
        "prompts .*0 … 1, got 2",
    ),
    "prompt negative": (lambda: POLICY.sample(torch.tensor([-1]), 1, G()), ValueError, "prompts .*0 … 1, got -1"),
    "answer out of range": (
        lambda: POLICY.log_prob(IDX, torch.tensor([[0], [3]])),
        ValueError,
        "actions .*0 … 2, got 3",
    ),
    "answers not ints": (lambda: POLICY.log_prob(IDX, torch.zeros(2, 1)), TypeError, "actions must be an integer"),
    "answers 1-d": (lambda: POLICY.log_prob(IDX, IDX), ValueError, r"actions must have shape \[B, G\]"),
    "rows differ": (lambda: POLICY.log_prob(IDX, IDX[None]), ValueError, "one row a prompt"),
    "no prompts": (lambda: POLICY.sample(IDX[:0], 1, G()), ValueError, "prompts must not be empty"),
    "group of none": (lambda: POLICY.sample(IDX, 0, G()), ValueError, "group_size must be at least 1, got 0"),
    "no generator": (lambda: POLICY.sample(IDX, 1, None), TypeError, "generator must be a torch.Generator"),
    # tasks
    "integer rewards": (lambda: ostrl.TableTask(REWARDS.long()), TypeError, "rewards .*floating.*int64"),
    "reward NaN": (lambda: ostrl.TableTask(NAN), ValueError, "rewards must be finite"),
    "reward inf": (lambda: ostrl.TableTask(INF), ValueError, "rewards must be finite"),
    "reward graph": (
        lambda: ostrl.TableTask(REWARDS.clone().requires_grad_()),
        ValueError,
        "rewards must not require grad",
    ),
    "reward 1-d": (lambda: ostrl.TableTask(REWARDS[0]), ValueError, r"rewards must have shape \[O, A\]"),
    "P(o) sum": (
        lambda: ostrl.TableTask(REWARDS, torch.tensor([0.5, 0.4], dtype=F)),
        ValueError,
        "prompt_probs must sum to 1.*0.1",
    ),
    "P(o) negative": (
        lambda: ostrl.TableTask(REWARDS, torch.tensor([1.5, -0.5], dtype=F)),
        ValueError,
        "prompt_probs must not be negative",
    ),
    "P(o) shape": (
        lambda: ostrl.TableTask(REWARDS, torch.ones(3, dtype=F) / 3),
        ValueError,
        r"prompt_probs must have shape \[O\] = \[2\], got \[3\]",
    ),
    "P(o) dtype": (
        lambda: ostrl.TableTask(REWARDS, torch.tensor([0.5, 0.5])),
        TypeError,
        "prompt_probs has dtype torch.float32",
    ),
    "demonstrations": (lambda: ostrl.TableTask(REWARDS, None, REWARDS), ValueError, "demonstrations must sum to 1"),
    "demonstrations shape": (
        lambda: ostrl.TableTask(REWARDS, None, torch.ones(2, 1, dtype=F)),
        ValueError,
        "demonstrations must have shape",
    ),
    "no demonstrators": (
        lambda: exact.moments(SFT, POLICY, TASK, 2),
        ValueError,
        "no demonstrators: pass demonstrations",
    ),
    "batch of none": (lambda: TASK.sample_prompts(0, G()), ValueError, "batch_size must be at least 1"),
    "grading out of range": (lambda: TASK.reward(IDX, torch.tensor([[0], [7]])), ValueError, "actions .*got 7"),
    # policy and task together
    "other shape": (
        lambda: exact.value(ostrl.CategoricalPolicy(LOGITS[:, :2]), TASK),
        ValueError,
        r"table must have shape .*\[2, 3\], got \[2, 2\]",
    ),
    "other dtype": (
        lambda: exact.gradient(ostrl.CategoricalPolicy(LOGITS.float()), TASK),
        TypeError,
        "dtype torch.float32",
    ),
    "not a table": (lambda: exact.value(torch.nn.Linear(1, 1), TASK), TypeError, "policy must be of class TablePolicy"),
    "fewer answers, sampled": (
        lambda: diagnostics.estimate_gradient(RLOO, ostrl.CategoricalPolicy(LOGITS[:, :2]), TASK, 1, 2, 3, G()),
        ValueError,
        "table must have shape",
    ),
    # weightings
    "integer weights": (lambda: weighting.reward(R.long()), TypeError, "rewards .*floating"),
    "flat rewards": (lambda: weighting.leave_one_out(R[0]), ValueError, r"rewards must have shape \[B, G\]"),
    "empty rewards": (lambda: weighting.reward(R[:0]), ValueError, "rewards must not be empty"),
    "rewards NaN": (lambda: weighting.group_normalized(NAN), ValueError, "rewards must be finite"),
    "rewards graph": (lambda: weighting.reward(R.clone().requires_grad_()), ValueError, "must not require grad"),
    "group of one, loo": (lambda: weighting.leave_one_out(R[:, :1]), ValueError, "at least 2 answers.*group of 1"),
    "group of one, mean": (lambda: weighting.mean_baseline(R[:, :1]), ValueError, "group of 1"),
    "group of one, grpo": (lambda: weighting.group_normalized(R[:, :1]), ValueError, "group of 1"),
    "eps": (lambda: weighting.group_normalized(R, 0.0), ValueError, "eps must be greater than 0"),
    "eps in half precision": (
        lambda: weighting.group_normalized(R.half(), 1e-8),
        ValueError,
        "1e-08, which is 0 in torch.float16",
    ),
    "k too large": (lambda: weighting.top_k(R, 4), ValueError, "k must be at most the group size G = 3, got 4"),
    "k": (lambda: weighting.top_k(R, 0), ValueError, "k must be at least 1"),
    "beta": (lambda: weighting.exponential(R, 0.0), ValueError, "beta must be greater than 0"),
    "tau": (lambda: weighting.threshold(R, float("nan")), ValueError, "tau must be finite"),
    "baseline shape": (
        lambda: weighting.constant_baseline(R, R),
        ValueError,
        r"baseline must have shape \[B, 1\] = \[1, 1\]",
    ),
    "baseline kind": (lambda: weighting.constant_baseline(R, "mean"), TypeError, "baseline must be a number, got str"),
    "ratio shapes": (lambda: weighting.importance(R, R[:, :2], R), ValueError, "behavior_log_prob must have shape"),
    "clip": (lambda: weighting.clipped_importance(R, R, R, clip=1.0), ValueError, "clip must be less than 1"),
    # surrogate
    "weight shape": (
        lambda: ostrl.surrogate_loss(R, R[:, :2], 1.0),
        ValueError,
        "weight must have the shape of log_prob",
    ),
    "weight too flat": (lambda: ostrl.surrogate_loss(R[None], R[0], 1.0), ValueError, "weight must have the shape"),
    "weight dtype": (lambda: ostrl.surrogate_loss(R, R.float(), 1.0), TypeError, "weight has dtype"),
    "log-prob inf": (
        lambda: ostrl.surrogate_loss(INF, R[:, :2], 1.0),
        ValueError,
        "log_prob must be finite",
    ),
    "weight NaN": (lambda: ostrl.surrogate_loss(R[:, :2], NAN, 1.0), ValueError, "weight must be finite"),
    "normalizer zero": (lambda: ostrl.surrogate_loss(R, R, 0.0), ValueError, "normalizer must be greater than 0"),
    "normalizer tensor": (
        lambda: ostrl.surrogate_loss(R, R, torch.zeros((), dtype=F)),
        ValueError,
        "normalizer must be positive",
    ),
    "normalizer shape": (
        lambda: ostrl.surrogate_loss(R, R, torch.ones(2, dtype=F)),
        ValueError,
        "normalizer must be a number or broadcast",
    ),
    "normalizer wide": (
        lambda: ostrl.surrogate_loss(R, R, torch.ones(4, 3, dtype=F)),
        ValueError,
        "normalizer must be a number or broadcast",
    ),
    "mask kind": (lambda: ostrl.surrogate_loss(R, R, 1.0, R), TypeError, "mask must be a boolean"),
    "mask shape": (lambda: ostrl.surrogate_loss(R, R, 1.0, R[:, :2] > 0), ValueError, "mask must have shape"),
    # exact and diagnostics
    "moments of one": (lambda: exact.moments(RLOO, POLICY, TASK, 1), ValueError, "group of 1"),
    "moments of none": (lambda: exact.moments(RLOO, POLICY, TASK, 0), ValueError, "group_size must be at least 1"),
    "moments no prompts": (
        lambda: exact.moments(RLOO, POLICY, TASK, 2, 0),
        ValueError,
        "num_prompts must be at least 1",
    ),
    "no replicas": (
        lambda: diagnostics.estimate_gradient(RLOO, POLICY, TASK, 1, 2, 0, G()),
        ValueError,
        "replicas must be at least 1",
    ),
    "no task": (lambda: exact.value(POLICY, None), TypeError, "task must be of class TableTask, got NoneType"),
    "no task to train": (lambda: train(task=None), TypeError, "task must supply prompts"),
    "no task to label": (lambda: RLOO.label.sample(POLICY, None, 1, 2, G()), TypeError, "task must supply prompts"),
    "flat actions": (lambda: RLOO.label.batch(POLICY, TASK, IDX, IDX), ValueError, r"actions must have shape \[B, G\]"),
    "string dtype": (lambda: ostrl.StringPolicy(1, 2, 2, dtype="float64"), TypeError, "dtype must be a floating"),
    "string prompts": (
        lambda: ostrl.StringPolicy(2, 2, 2).sample(IDX[None], 1, G()),
        ValueError,
        r"prompts must have shape \[B\], got shape \[1, 2\]",
    ),
    "overflow": (
        lambda: weighting.leave_one_out(torch.tensor([[3e38, -3e38]])),
        ValueError,
        "differences of rewards must be finite",
    ),
    "overflow, baseline": (
        lambda: weighting.constant_baseline(torch.tensor([[3e38]]), -3e38),
        ValueError,
        "rewards - baseline must be finite",
    ),
    "overflow, ratio": (lambda: weighting.importance(0 * R, 0 * R - 1e3, R), ValueError, "rho .*must be finite"),
    "overflow, Z": (lambda: ostrl.surrogate_loss(R, R, 1e-320), ValueError, "weight / normalizer must be finite"),
    "few replicas": (lambda: diagnostics.z_test(R, R[0]), ValueError, "at least 30 replicas"),
    "tau of rest": (lambda: ostrl.methods.rest(tau="high"), TypeError, "tau must be a number, got str"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case):
    call, kind, message = CASES[case]
    with pytest.raises(kind, match=message):
        call()


def batch(**changes):
    zeros = torch.zeros(1, 3, dtype=torch.long)
    fields = {
        "prompts": torch.zeros(1, dtype=torch.long), "actions": zeros, "rewards": R, "source": zeros,
        "log_prob": R, "behavior_log_prob": R,
    }  # fmt: skip
    return ostrl.Batch(**(fields | changes))


@pytest.mark.parametrize(
    "changes, kind, message",
    [
        ({"rewards": R.long()}, TypeError, "Batch.rewards .*floating"),
        ({"rewards": R.clone().requires_grad_()}, ValueError, "Batch.rewards must not require grad"),
        ({"log_prob": R.clone().requires_grad_()}, ValueError, "Batch.log_prob must not require grad"),
        ({"log_prob": R[:, :2]}, ValueError, "Batch.log_prob must have shape"),
        ({"behavior_log_prob": R[0]}, ValueError, "Batch.behavior_log_prob must have shape"),
        ({"ref_log_prob": R[0]}, ValueError, "Batch.ref_log_prob must have shape"),
        ({"actions": torch.zeros(1, 2, dtype=torch.long)}, ValueError, "Batch.actions must have shape"),
        ({"source": torch.zeros(1, 2, dtype=torch.long)}, ValueError, "Batch.source must have shape"),
        ({"prompts": torch.zeros(2, dtype=torch.long)}, ValueError, "Batch.prompts must have length B = 1, got 2"),
        ({"mask": R}, TypeError, "Batch.mask must be boolean"),
        ({"prompts": torch.zeros(1)}, TypeError, "Batch.prompts must be an integer"),
        ({"prompts": "a"}, TypeError, "Batch.prompts must be a tensor of indices or a list, got str"),
        ({"actions": torch.zeros(1, 3)}, TypeError, "Batch.actions must be an integer"),
        ({"actions": torch.full((1, 3), -1)}, ValueError, "Batch.actions must not be negative, got -1"),
        ({"source": torch.full((1, 3), 9)}, ValueError, "Batch.source must be SELF"),
        ({"log_prob": None}, TypeError, "Batch.log_prob must be a torch.Tensor, got NoneType"),
        ({"log_prob": R * torch.nan}, ValueError, "Batch.log_prob must not be NaN"),
    ],
)
def test_bad_batch(changes, kind, message):
    batch()
    with pytest.raises(kind, match=message):
        batch(**changes)


def test_a_method_whose_weights_are_not_finite_is_named():
    method = ostrl.Method("zero_over_zero", RLOO.label, lambda b: b.rewards / 0, RLOO.normalize, "", "")
    with pytest.raises(ValueError, match="weights of 'zero_over_zero'"):
        exact.moments(method, POLICY, TASK, 2)


def test_a_method_whose_weights_have_the_wrong_shape_is_named():
    method = ostrl.Method("flat", RLOO.label, lambda b: b.rewards.flatten(), RLOO.normalize, "", "")
    with pytest.raises(ValueError, match="weights of 'flat' must have shape"):
        exact.moments(method, POLICY, TASK, 2)


def test_logits_that_became_nan_are_noticed():
    policy = ostrl.CategoricalPolicy(LOGITS)
    with torch.no_grad():
        policy.logits[0, 0] = torch.nan
    with pytest.raises(ValueError, match="logits must be finite"):
        exact.value(policy, TASK)


def row(weigh=lambda batch: batch.rewards, normalize=RLOO.normalize, label=RLOO.label):
    return ostrl.Method("mine", label, weigh, normalize)


def train(method=RLOO, policy=None, task=TASK, optimizer=None, **sizes):
    policy = policy or ostrl.CategoricalPolicy(LOGITS)
    optimizer = optimizer or torch.optim.SGD(policy.parameters(), lr=0.1)
    sizes = {"batch_size": 2, "group_size": 3, "generator": G()} | sizes
    return ostrl.train_steps(method, policy, task, optimizer, **sizes)


DOORS = {
    "moments": lambda method: exact.moments(method, POLICY, TASK, 3, 1),
    "estimates": lambda method: diagnostics.estimate_gradient(method, POLICY, TASK, 2, 3, 5, G()),
    "training": lambda method: next(train(method)),
}
BAD_ROWS = {
    "flat weights": (row(lambda b: b.rewards.mean(1)), ValueError, "weights of 'mine' must have shape"),
    "other dtype": (row(lambda b: b.rewards.float()), TypeError, "weights of 'mine' has dtype torch.float32"),
    "integers": (row(lambda b: b.rewards.long()), TypeError, "weights of 'mine' must be floating point"),
    "a list": (row(lambda b: [1.0]), TypeError, "weights of 'mine' must be a torch.Tensor, got list"),
    "negative Z": (row(normalize=lambda b, w: w.sum() - 100), ValueError, "normalizer .*must be positive"),
    "infinite Z": (row(normalize=lambda b, w: w.sum() + torch.inf), ValueError, "normalizer .*must be positive"),
    "zero Z": (row(normalize=lambda b, w: 0 * w.sum()), ValueError, "normalizer .*must be positive"),
    "Z [B]": (
        row(normalize=lambda b, w: torch.ones(len(b.rewards), dtype=F)),
        ValueError,
        r"one for each prompt is \[B, 1\]",
    ),
    "slots short": (row(label=ostrl.Labeler("x", lambda g: [0] * (g - 1))), ValueError, "slots of labeler 'x'"),
    "slots unknown": (row(label=ostrl.Labeler("x", lambda g: [2] * g)), ValueError, "slots of labeler 'x'"),
    "a name": ("rloo", TypeError, r"method must be of class Method, got str 'rloo'; for example METHODS\['rloo'\]"),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_is_refused_at_every_door(door, case):
    method, kind, message = BAD_ROWS[case]
    with pytest.raises(kind, match=message):
        DOORS[door](method)


class Logits(ostrl.TablePolicy):
    """A policy whose author forgot the softmax."""

    def __init__(self, table):
        super().__init__()
        self.table = torch.nn.Parameter(table)

    def log_probs(self):
        return self.table


@pytest.mark.parametrize("table", [LOGITS, LOGITS + torch.nan])
@pytest.mark.parametrize("ask", [exact.value, exact.gradient, exact.fisher, exact.optimal_baseline])
def test_a_table_that_holds_no_distributions_is_refused(ask, table):
    with pytest.raises(ValueError, match=r"must be log-probabilities: .*sum to 1"):
        ask(Logits(table), TASK)


def test_training_checks_before_the_first_step():
    other = ostrl.CategoricalPolicy(LOGITS)
    cases = [
        ({"optimizer": "adam"}, TypeError, "optimizer must be of class Optimizer, got str"),
        ({"optimizer": torch.optim.SGD(other.parameters(), lr=1)}, ValueError, "must hold parameters of the policy"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"generator": None}, TypeError, "generator must be a torch.Generator"),
        ({"policy": ostrl.CategoricalPolicy(LOGITS[:, :2])}, ValueError, "table must have shape"),
    ]
    for arguments, kind, message in cases:
        with pytest.raises(kind, match=message):
            train(**arguments)
    policy = ostrl.CategoricalPolicy(LOGITS)
    with pytest.raises(ValueError, match="maximize=True"):
        train(policy=policy, optimizer=torch.optim.SGD(policy.parameters(), lr=1, maximize=True))


def test_frozen_parameters_have_slope_zero_and_all_frozen_is_an_error():
    class Scaled(ostrl.TablePolicy):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor([2.0], dtype=F), requires_grad=False)
            self.logits = torch.nn.Parameter(torch.tensor([[0.1, 0.2, 0.3], [0.0, 1.0, 0.0]], dtype=F))

        def log_probs(self):
            return torch.log_softmax(self.scale * self.logits, -1)

    policy = Scaled()
    gradient = exact.gradient(policy, TASK)
    assert gradient.shape == (7,)
    assert gradient[0] == 0
    torch.testing.assert_close(exact.moments(RLOO, policy, TASK, 2).mean, gradient, rtol=0, atol=1e-14)
    policy.logits.requires_grad_(False)
    with pytest.raises(ValueError, match="policy must have a parameter that requires grad"):
        exact.gradient(policy, TASK)


def test_inference_mode_is_refused_in_words():
    with torch.inference_mode(), pytest.raises(RuntimeError, match=r"use torch\.no_grad"):
        exact.gradient(POLICY, TASK)


def test_training_works_inside_no_grad():
    with torch.no_grad():
        assert next(train()).step == 1


def test_small_integers_index_too():
    small = torch.tensor([0, 1], dtype=torch.uint8)
    assert torch.equal(TASK.reward(small, small[:, None]), TASK.reward(IDX, IDX[:, None]))


def test_huge_rewards_neither_vanish_nor_overflow():
    weights = weighting.group_normalized(torch.tensor([[1e20, 0.0, 0.0]], dtype=torch.float32))
    expected = weighting.group_normalized(torch.tensor([[1e4, 0.0, 0.0]], dtype=torch.float64), eps=1e-12)
    torch.testing.assert_close(weights.double(), expected, rtol=1e-6, atol=0)
    with pytest.raises(ValueError, match="enumerated covariance must be finite"):
        exact.moments(ostrl.METHODS["reinforce"], POLICY, ostrl.TableTask(REWARDS * 1e200), 2)


def test_cosine_and_snr_refuse_what_has_no_answer():
    with pytest.raises(ValueError, match="b must have shape that of a"):
        diagnostics.cosine(torch.ones(3, 1), torch.ones(4))
    huge, tiny = torch.full((2,), 1e200, dtype=F), torch.full((2,), 1e-200, dtype=F)
    assert float(diagnostics.cosine(huge, tiny)) == pytest.approx(1.0, abs=1e-15)
    with pytest.raises(ValueError, match="positive trace"):
        diagnostics.snr(torch.zeros(2), torch.zeros(2, 2))


def test_the_z_test_has_no_scale_of_its_own():
    task = ostrl.TableTask(REWARDS * 1e-10)
    estimates = diagnostics.estimate_gradient(RLOO, POLICY, task, 1, 3, 5000, G())
    assert diagnostics.z_test(estimates, exact.gradient(POLICY, task)).passed
    assert not diagnostics.z_test(estimates, -exact.gradient(POLICY, task)).passed
    assert diagnostics.z_test(estimates, exact.gradient(POLICY, task), 1e-17).threshold < 10
