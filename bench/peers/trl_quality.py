"""Trains a LoRA with Hugging Face PEFT or TRL on the batches of a job file, for a comparison of what is learned (bench/quality.ts).

    python bench/peers/trl_quality.py JOB.json

The job:

    { "base": "Hugging Face folder", "objective": "sft" | "dpo", "lora": { LoraConfig fields },
      "batches": [[example, ..], ..],     one a step, used in this order
      "learningRate": 1e-3, "beta": 0.1, "seed": 0, "threads": 2, "output": "folder for the adapter" }

An example of sft is `{ "tokenIds", "lossWeights" }` and is trained on by PEFT and torch alone (test/peers/reference_training.py); one of dpo is
`{ "prompt", "chosen", "rejected" }`, token ids of each, and goes through TRL's DPOTrainer. AdamW at a constant rate without weight decay, gradients
clipped to norm 1, float32, no dropout, on both sides. Prints `{ "losses", "seconds", "versions" }`.
"""

import contextlib
import sys
import time
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "test" / "peers"))

import torch  # noqa: E402
from peft import LoraConfig, PeftModel, get_peft_model  # noqa: E402

from peer_io import run_job, versions  # noqa: E402
from reference_training import TrainingSettings, train  # noqa: E402
from smollm2_from_gguf import open_base  # noqa: E402


def lora_of(job: dict) -> LoraConfig:
    return LoraConfig(task_type="CAUSAL_LM", **job["lora"])


def train_supervised(job: dict) -> tuple[PeftModel, list[float]]:
    torch.manual_seed(job["seed"])
    model = get_peft_model(open_base(job["base"]), lora_of(job)).train()
    settings = TrainingSettings(learning_rate=job["learningRate"], steps=len(job["batches"]), weight_decay=0.0)
    return model, [result.loss for result in train(model, job["batches"], settings)]


def train_preferences(job: dict) -> tuple[PeftModel, list[float]]:
    from datasets import Dataset
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from torch.utils.data import DataLoader
    from transformers import PreTrainedTokenizerFast
    from trl import DPOConfig, DPOTrainer

    class GivenBatches(DPOTrainer):
        """The token ids and the batches are the job's: nothing is tokenised, shuffled or regrouped."""

        def _prepare_dataset(self, dataset, *_args, **_kwargs):
            return dataset

        def get_train_dataloader(self):
            return DataLoader(self.train_dataset, batch_sampler=batches, collate_fn=self.data_collator)

    pairs = [pair for batch in job["batches"] for pair in batch]
    batches, start = [], 0
    for batch in job["batches"]:
        batches.append(list(range(start, start + len(batch))))
        start += len(batch)
    columns = {"prompt": "prompt_ids", "chosen": "chosen_ids", "rejected": "rejected_ids"}
    dataset = Dataset.from_dict({column: [pair[name] for pair in pairs] for name, column in columns.items()})
    arguments = DPOConfig(
        output_dir=job["output"],
        beta=job["beta"],
        loss_type="sigmoid",
        max_steps=len(batches),
        per_device_train_batch_size=max(len(batch) for batch in batches),
        learning_rate=job["learningRate"],
        lr_scheduler_type="constant",
        weight_decay=0.0,
        max_grad_norm=1.0,
        optim="adamw_torch",
        max_length=None,
        bf16=False,
        gradient_checkpointing=False,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        seed=job["seed"],
    )
    # Only its ids for padding are used: nothing is tokenised.
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel({"<pad>": 0, "<eos>": 1}, unk_token="<pad>")),
        pad_token="<pad>",
        eos_token="<eos>",
    )
    trainer = GivenBatches(
        model=open_base(job["base"]),
        args=arguments,
        train_dataset=dataset,
        processing_class=tokenizer,
        peft_config=lora_of(job),
    )
    trainer.train()
    return trainer.model, [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def run(job: dict) -> dict:
    torch.set_num_threads(job["threads"])
    start = time.perf_counter()
    # Standard output is the report's; the trainer logs to it.
    with contextlib.redirect_stdout(sys.stderr):
        model, losses = train_supervised(job) if job["objective"] == "sft" else train_preferences(job)
    # Its own is the folder that it was opened from, and an adapter names a model.
    model.peft_config["default"].base_model_name_or_path = "base"
    model.save_pretrained(job["output"], save_embedding_layers=False)
    more = {"trl": version("trl")} if job["objective"] == "dpo" else {}
    return {"losses": losses, "seconds": time.perf_counter() - start, "versions": {**versions(), **more}}


if __name__ == "__main__":
    run_job(run, __doc__)
