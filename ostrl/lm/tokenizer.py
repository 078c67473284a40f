"""A tokenizer of characters: the smallest one there is, in the format of Hugging Face."""

from __future__ import annotations

import string

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

PAD, BOS, EOS, UNK = "<pad>", "<bos>", "<eos>", "<unk>"
CHARACTERS = string.digits + " :" + string.ascii_lowercase


def character_tokenizer() -> PreTrainedTokenizerFast:
    """One token a character of the homework, and four special tokens, all distinct.

    Text begins with ``<bos>``; a character that is not in ``CHARACTERS`` becomes ``<unk>``; decoding puts nothing
    between the characters. ``save_pretrained`` writes it so that ``AutoTokenizer.from_pretrained`` loads it without
    this package.
    """
    vocabulary = {token: index for index, token in enumerate([PAD, BOS, EOS, UNK, *CHARACTERS])}
    characters = Tokenizer(models.WordLevel(vocabulary, unk_token=UNK))
    characters.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    characters.decoder = decoders.Fuse()
    characters.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, vocabulary[BOS])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=characters,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNK,
        clean_up_tokenization_spaces=False,
    )
