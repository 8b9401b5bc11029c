"""Writes a GGUF file anew with every tensor in float32: `python gguf_to_f32.py FROM.gguf TO.gguf`.

Values are dequantised with the `gguf` package, so a program that reads the copy computes with the numbers that the file says, and does
not round its own inputs to the blocks' precision.
"""

import sys

import gguf

source, target = sys.argv[1:3]
reader = gguf.GGUFReader(source)
architecture = reader.get_field("general.architecture").contents()
writer = gguf.GGUFWriter(target, architecture)
for field in reader.fields.values():
    if field.name.startswith("GGUF.") or field.name in ("general.architecture", "general.file_type"):
        continue
    kind = field.types[0]
    sub_kind = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
    writer.add_key_value(field.name, field.contents(), kind, sub_type=sub_kind)
writer.add_file_type(gguf.LlamaFileType.ALL_F32)
for tensor in reader.tensors:
    writer.add_tensor(tensor.name, gguf.dequantize(tensor.data, tensor.tensor_type).astype("float32"))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
print("{}")
