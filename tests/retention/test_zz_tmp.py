

def test_write(given):
    from pathlib import Path

    d = Path(__file__).parents[1] / "samples" / "certificates"
    (d / "version-1.json").write_bytes(given.data)
    (d / "version-1.keys").write_text("\n".join(given.keys) + "\n")
