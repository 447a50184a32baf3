"""Extensions, Cython directives, the debug switches and the text for PyPI; everything else is in pyproject.toml.

Environment: ISOTP_TRACE=1 line tracing for coverage; ISOTP_DEBUG=1 bounds checks, asserts, no optimisation;
ISOTP_SANITIZE=address,undefined compiles with these sanitizers, without those named with a "-"; ISOTP_ANNOTATE=1 writes
cython's HTML.
"""

import gzip
import os
import pathlib
import re
import shutil
import sysconfig
import tarfile

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

trace, debug, annotate = (os.environ.get(f"ISOTP_{name}") == "1" for name in ("TRACE", "DEBUG", "ANNOTATE"))
named = os.environ.get("ISOTP_SANITIZE", "").split(",")
sanitize = ",".join(name for name in named if not name.startswith("-"))

directives = {
    "language_level": 3,
    "boundscheck": debug,
    "wraparound": False,
    "nonecheck": debug,
    "initializedcheck": debug,
    "overflowcheck": False,
    "cdivision": True,
    # Annotations are for help(), notebooks and the reference, as in Python: they make nothing a C type.
    "annotation_typing": False,
    "embedsignature": True,
    "embedsignature.format": "clinic",
    "autotestdict": False,
    "freethreading_compatible": True,
    "linetrace": trace,
    "profile": trace,
}
macros = [("CYTHON_TRACE_NOGIL", "1"), ("CYTHON_USE_SYS_MONITORING", "0")] if trace else []
# Not sys.platform: a build for another system has its name in the settings of the Python that it is for.
target = sysconfig.get_platform()
# They come behind the flags of Python's own build, which has -DNDEBUG, and -fwrapv: with that, a signed overflow is
# none, and no sanitizer reports it.
compile_args = ["-O0", "-g3", "-UNDEBUG", "-fno-wrapv"] if debug or sanitize else ["-O3"]
link_args = [f"-fsanitize={sanitize}"] if sanitize else []
if sanitize:
    compile_args += [
        "-fno-omit-frame-pointer",
        f"-fsanitize={sanitize}",
        "-fno-sanitize-recover=undefined",
        *(f"-fno-sanitize={name[1:]}" for name in named if name.startswith("-")),
    ]


# Files of these names are in can-isotp, of either generation; tpsock is kept as a whole.
SHARED_FILES = (
    *("__init__.py", "address.py", "can_message.py", "errors.py", "protocol.py", "tools.py"),
    *("tpsock/__init__.py", "tpsock/errors.py", "tpsock/opts.py"),
)


class BuildExtensions(build_ext):
    """Symbols and line numbers, for profilers, only where the package is worked on: they are most of a wheel's size."""

    worked_on = False

    def run(self) -> None:
        # setuptools builds in a folder of its own first, even in place: `inplace` is not true while it does.
        self.worked_on = bool(self.inplace or getattr(self, "editable_mode", False))
        super().run()

    def build_extension(self, extension: Extension) -> None:
        if self.compiler.compiler_type == "msvc":
            extension.extra_compile_args, extension.extra_link_args = ["/O2"], []
        elif not (self.worked_on or debug or trace or sanitize):
            strip = "-Wl,-x" if target.startswith("macosx") else "-Wl,-s"
            extension.extra_compile_args = [*extension.extra_compile_args, "-g0"]
            extension.extra_link_args = [*extension.extra_link_args, strip]
        super().build_extension(extension)


class KeepingPackage(build_py):
    """Holds a second time what can-isotp's files overwrite, and what brings it where they did: _can_isotp_cython.py."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        package = pathlib.Path(self.build_lib, "isotp")
        for name in SHARED_FILES:
            kept = package / "_kept" / name
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(package / name, kept)
        pathlib.Path(self.build_lib, "can_isotp_cython.pth").write_text("import _can_isotp_cython\n")


class ReproducibleSdist(sdist):
    """With SOURCE_DATE_EPOCH, the same sources give the same bytes, whoever packs them, wherever and whenever."""

    def make_archive(self, base_name, format, root_dir=None, base_dir=None, owner=None, group=None):
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        if epoch is None or format != "gztar" or root_dir is not None:
            return super().make_archive(base_name, format, root_dir, base_dir, owner, group)

        def neutral(member: tarfile.TarInfo) -> tarfile.TarInfo:
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mtime = int(epoch)
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            return member

        name = f"{base_name}.tar.gz"
        with (
            open(name, "wb") as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=int(epoch)) as packed,
            tarfile.open(mode="w", fileobj=packed, format=tarfile.PAX_FORMAT) as archive,
        ):
            archive.add(base_dir, filter=neutral)  # goes through folders in the order of names
        return name


# What tests use: a third smaller this way, and hardly slower.
SMALL = {"testing._wire"}
small_args = [] if debug or sanitize or target.startswith("win") else ["-Os"]


def text_for_pypi() -> str:
    """README.md, its links to files as addresses of the repository at the tag of this version."""
    readme, project, version = (
        pathlib.Path(name).read_text(encoding="utf-8")
        for name in ("README.md", "pyproject.toml", "src/isotp/_version.py")
    )
    repository = re.search(r'^Repository = "(.+)"$', project, re.MULTILINE)[1]
    tag = "v" + re.search(r'^__version__ = "(.+)"$', version, re.MULTILINE)[1]

    def absolute(link: re.Match[str]) -> str:
        picture, text, target = link.groups()
        if target.startswith("#"):
            target = f"README.md{target}"
        return f"{picture}[{text}]({repository}/{'raw' if picture else 'blob'}/{tag}/{target})"

    # Every second part is a block of code, where brackets are no links.
    parts = re.split(r"(^```.*?^```$)", readme, flags=re.MULTILINE | re.DOTALL)
    parts[::2] = [re.sub(r"(!?)\[([^\[\]]*)\]\((?!https:)([^)\s]+)\)", absolute, part) for part in parts[::2]]
    return "".join(parts)


def extension(name: str) -> Extension:
    """cythonize() knows what it is made of: the .pxd, .pxi and .h files that its source names."""
    return Extension(
        f"isotp.{name}",
        [f"src/isotp/{name.replace('.', '/')}.pyx"],
        include_dirs=["src/isotp"],
        define_macros=macros,
        extra_compile_args=[*compile_args, *(small_args if name in SMALL else ())],
        extra_link_args=link_args,
    )


extensions = [
    extension(name)
    for name in (
        "_core",
        *("bulk._records", "bulk._messages", "bulk._encode", "bulk._reassembler", "bulk._observer"),
        "capture._parsers",
        "testing._wire",
    )
]
if target.startswith("linux"):
    extensions.append(extension("_socketcan"))

setup(
    long_description=text_for_pypi(),
    long_description_content_type="text/markdown",
    # One compiler for each extension at a time, as many as there are processors.
    options={"build_ext": {"parallel": os.cpu_count()}},
    cmdclass={"build_ext": BuildExtensions, "build_py": KeepingPackage, "sdist": ReproducibleSdist},
    ext_modules=cythonize(
        extensions,
        include_path=["src"],
        compiler_directives=directives,
        annotate=annotate,
        # Directives are not part of the time stamps that decide whether a .c file is still good.
        force=trace or debug or annotate,
    ),
)
