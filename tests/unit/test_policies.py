import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ostrl
from ostrl import exact
from ostrl.policies import count_strings, draw, real_tokens


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@given(st.integers(2, 4), st.integers(1, 4))
@settings(deadline=None, max_examples=20)
def test_every_string_is_listed_once(vocab_size, max_length):
    policy = ostrl.StringPolicy(1, vocab_size, max_length)
    listed = [tuple(row) for row in policy.strings().tolist()]
    ended = {
        (*words, 0) for length in range(max_length) for words in itertools.product(range(1, vocab_size), repeat=length)
    }
    cut = set(itertools.product(range(1, vocab_size), repeat=max_length))
    expected = {s + (0,) * (max_length - len(s)) for s in ended | cut}
    assert len(listed) == len(set(listed)) == count_strings(vocab_size, max_length)
    assert set(listed) == expected


@given(st.integers(1, 3), st.integers(2, 4), st.integers(1, 4), st.integers(0, 10**6))
@settings(deadline=None, max_examples=25)
def test_string_probabilities_sum_to_one(num_prompts, vocab_size, max_length, seed):
    policy = ostrl.StringPolicy(num_prompts, vocab_size, max_length, generator(seed))
    total = policy.probs().sum(-1)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-12)


def test_string_probability_is_the_product_of_its_tokens():
    policy = ostrl.StringPolicy(2, 3, 3, generator(1))
    table, probs = torch.softmax(policy.logits, -1).detach(), policy.probs().detach()
    for prompt in range(2):
        for number, string in enumerate(policy.strings().tolist()):
            prob, previous = 1.0, 0
            for token in string:
                prob = prob * table[prompt, previous, token]
                previous = token
                if token == 0:
                    break
            assert float(probs[prompt, number]) == pytest.approx(float(prob), abs=1e-15)


def test_gradient_of_strings_equals_finite_differences():
    policy = ostrl.StringPolicy(2, 3, 3, generator(2))
    task = ostrl.TableTask(torch.randn(2, 15, generator=generator(3), dtype=torch.float64))
    theta = torch.nn.utils.parameters_to_vector(policy.parameters()).detach()
    differences = []
    for i in range(len(theta)):
        values = []
        for sign in (1, -1):
            moved = theta.clone()
            moved[i] += sign * 1e-5
            torch.nn.utils.vector_to_parameters(moved, policy.parameters())
            values.append(float(exact.value(policy, task)))
        differences.append((values[0] - values[1]) / 2e-5)
    torch.nn.utils.vector_to_parameters(theta, policy.parameters())
    torch.testing.assert_close(
        exact.gradient(policy, task), torch.tensor(differences, dtype=torch.float64), rtol=0, atol=1e-9
    )


def test_the_end_token_counts_and_what_follows_does_not():
    strings = torch.tensor([[0, 0, 0], [1, 0, 0], [1, 2, 0], [2, 1, 1]])
    expected = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 1, 1]], dtype=torch.bool)
    assert torch.equal(real_tokens(strings), expected)


@pytest.mark.parametrize("make", [
    lambda: ostrl.CategoricalPolicy(torch.randn(2, 4, generator=generator(4), dtype=torch.float64)),
    lambda: ostrl.StringPolicy(2, 3, 3, generator(5)),
])  # fmt: skip
def test_samples_follow_the_probabilities(make):
    # Chi-squared against the listed probabilities; fixed seed, false-alarm rate 1e-6 a prompt.
    policy, draws = make(), 100_000
    actions = policy.sample(torch.tensor([0, 1]), draws, generator(6))
    probs = policy.probs().detach()
    for prompt in range(2):
        counts = torch.bincount(actions[prompt], minlength=probs.shape[1]).double()
        statistic = ((counts - draws * probs[prompt]).square() / (draws * probs[prompt])).sum()
        freedom = torch.tensor((probs.shape[1] - 1) / 2, dtype=torch.float64)
        assert float(torch.special.gammaincc(freedom, statistic / 2)) > 1e-6


def test_strings_sampled_token_by_token_are_numbered_as_listed():
    policy = ostrl.StringPolicy(1, 3, 4, generator(7))
    prompts = torch.zeros(5, dtype=torch.long)
    drawn = policy.sample_strings(prompts, 7, generator(8))
    numbers = policy.sample(prompts, 7, generator(8))
    assert torch.equal(policy.strings()[numbers], drawn)


def test_a_policy_of_ones_own_needs_log_probs_only():
    class Shared(ostrl.TablePolicy):
        def __init__(self):
            super().__init__()
            self.theta = torch.nn.Parameter(torch.tensor([0.3, -0.2], dtype=torch.float64))
            self.unused = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))

        def log_probs(self):
            features = torch.tensor([[[1.0, 0], [0, 1], [0, 0]], [[0, 1], [1, 1], [2, 0]]], dtype=torch.float64)
            return torch.log_softmax(features @ self.theta, -1)

    policy = Shared()
    task = ostrl.TableTask(torch.tensor([[1.0, 0, 2], [0, 1, 1]], dtype=torch.float64))
    moments = exact.moments(ostrl.METHODS["rloo"], policy, task, 2)
    torch.testing.assert_close(moments.mean, exact.gradient(policy, task), rtol=0, atol=1e-14)


def test_the_base_class_says_what_is_missing():
    with pytest.raises(NotImplementedError, match="must define log_probs"):
        ostrl.TablePolicy().probs()


@given(st.integers(1, 70), st.integers(0, 10**6))
@settings(deadline=None, max_examples=60)
def test_drawing_inverts_the_distribution_function(answers, seed):
    g = generator(seed)
    probs = torch.rand(3, answers, generator=g, dtype=torch.float64) * (torch.rand(3, answers, generator=g) < 0.5)
    probs[:, answers // 2] += 0.1  # at least one answer is possible; many are not
    probs = probs / probs.sum(-1, keepdim=True)
    prompts = torch.tensor([0, 1, 2, 1])
    drawn = draw(probs, prompts, 50, generator(seed))
    u = torch.rand(4, 50, dtype=torch.float64, generator=generator(seed))
    cumulative = probs.cumsum(-1) / probs.cumsum(-1)[:, -1:]
    expected = (cumulative[prompts][:, None, :] <= u[..., None]).sum(-1)
    assert torch.equal(drawn, expected)
    assert bool((probs[prompts[:, None], drawn] > 0).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("offset", [1e4, -1e6, 1e6])
def test_a_large_offset_of_all_logits_changes_nothing(dtype, offset):
    logits = torch.tensor([[0.0, 1.0, 3.0]], dtype=dtype)
    policy, shifted = ostrl.CategoricalPolicy(logits), ostrl.CategoricalPolicy(logits + offset)
    assert torch.equal(shifted.probs(), policy.probs())
    task = ostrl.TableTask(torch.tensor([[0.0, 1.0, 0.0]], dtype=dtype))
    assert torch.equal(exact.gradient(shifted, task), exact.gradient(policy, task))
