"""Developer tool: the parameters of Silero VAD out of its package, as ours carries them.

    pip download --no-deps silero-vad==6.2.3
    python scripts/convert_silero.py silero_vad-6.2.3-py3-none-any.whl [--out FILE]

They come from the wheel's TorchScript file, which its package runs by default. The wheel's safetensors file holds
other, older ones. The package is not installed, and the network is not run. Parameters are rounded to 16 bit.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

TARGET = Path(__file__).resolve().parents[1] / "speech2lip/weights/data/silero_vad.safetensors"
MEMBER = "silero_vad/data/silero_vad.jit"
_NAMES = {"stft.forward_basis_buffer": "stft.weight"}
_NAMES |= {f"encoder.{k}.reparam_conv.{part}": f"conv{k + 1}.{part}" for k in range(4) for part in ("weight", "bias")}
_NAMES |= {f"decoder.rnn.{part}": f"lstm.{part}_l0" for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
_NAMES |= {"decoder.decoder.2.weight": "out.weight", "decoder.decoder.2.bias": "out.bias"}


def converted(content: bytes) -> dict[str, np.ndarray]:
    """Parameters of the network for 16 kHz under our names, float16."""
    stored = torch.jit.load(io.BytesIO(content), "cpu")._model.state_dict()
    out = {ours: stored[theirs].numpy() for theirs, ours in _NAMES.items()}
    out["out.weight"] = out["out.weight"][..., 0]
    return {name: np.ascontiguousarray(value.astype(np.float16)) for name, value in out.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="silero_vad-6.2.3-py3-none-any.whl")
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args()
    with zipfile.ZipFile(options.wheel) as wheel:
        content = converted(wheel.read(MEMBER))
    save_file(content, options.out, {"source": f"silero-vad 6.2.3, {MEMBER}", "licence": "MIT"})
    print(f"{options.out}: {len(content)} arrays, {options.out.stat().st_size / 2**20:.1f} MB")


if __name__ == "__main__":
    main()
