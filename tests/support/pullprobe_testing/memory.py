"""Search in the memory of a running process, as a core dump would have it."""

import pathlib

CHUNK = 1 << 20  # bytes
KERNEL_AREAS = ("[vvar]", "[vsyscall]", "[vvar_vclock]")


def find_in_memory(pid, *needles):
    """Returns those of `needles` that are in the readable memory of a process."""
    needles = [needle.encode() for needle in needles]
    overlap = max(map(len, needles)) - 1
    found = set()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            area, permissions, *_ = line.split()
            if not permissions.startswith("r") or line.endswith(KERNEL_AREAS):
                continue
            start, end = (int(part, 16) for part in area.split("-"))
            tail = b""
            while start < end:
                memory.seek(start)
                part = memory.read(min(CHUNK, end - start))
                if not part:
                    break
                start += len(part)
                tail = tail[-overlap:] + part
                found.update(needle for needle in needles if needle in tail)
    return {needle.decode() for needle in found}
