import subprocess

from fr_eval.digests import hash_file, hash_path

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_file_has_its_sha256(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert hash_file(tmp_path / "abc") == hash_path(tmp_path / "abc") == ABC


def test_a_folder_has_that_of_the_list_of_its_files(tmp_path):
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    (folder / "variables" / "data").write_bytes(b"abc")
    (folder / "saved_model.pb").write_bytes(b"")
    command = "find * -type f | LC_ALL=C sort | xargs sha256sum | sha256sum"
    listed = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, check=True)
    assert hash_path(folder) == listed.stdout.split()[0]
