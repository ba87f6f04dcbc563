"""How often a label set of another language is told, and an English one is taken for such.

    python benchmarks/label_language.py

Sets are drawn from the names of the things in tests/photographs, as they are and translated, and
(*) from the 995 everyday words of vocabulary.txt.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unseen.label_lint.context import vocabulary
from unseen.labels.languages import foreign_labels

DRAWS = 2000
SIZES = (2, 3, 5, 10)
TRANSLATED = {
    "German": "Amphitheater, Aquädukt, Astronaut, Baseball, Biene, Vogel, Bison, Tafel, Eimer, "
    "Schlucht, Burg, Katze, Kathedrale, Stuhl, Chamäleon, Huhn, Kaffee, Kuh, Krabbe, Krokodil, "
    "Tasse, Staudamm, Hund, Trommel, Ente, Fisch, Blume, Bratpfanne, Gibbon, Giraffe, Hammer, "
    "Igel, Pferd, Iglu, Jaguar, Känguru, Koala, Komodowaran, Lemur, Glühbirne, Maßband, Elch, "
    "Nagelknipser, Orchester, Eule, Pagode, Panda, Papagei, Schwein, Kissen, Teller, Zange, "
    "Eisbär, Pyramide, roter Panda, Rakete, Schere, Schraubendreher, Schaf, Wolkenkratzer, "
    "Solarzelle, Löffel, Sprühflasche, Statue, Turm, Triumphbogen, Volleyball, Windmühle, "
    "Schraubenschlüssel",
    "French": "amphithéâtre, aqueduc, astronaute, baseball, abeille, oiseau, bison, tableau noir, "
    "seau, canyon, château, chat, cathédrale, chaise, caméléon, poulet, café, vache, crabe, "
    "crocodile, tasse, barrage, chien, tambour, canard, poisson, fleur, poêle, gibbon, girafe, "
    "marteau, hérisson, cheval, igloo, jaguar, kangourou, koala, dragon de Komodo, lémurien, "
    "ampoule, mètre ruban, élan, coupe-ongles, orchestre, hibou, pagode, panda, perroquet, cochon, "
    "oreiller, assiette, pince, ours polaire, pyramide, panda roux, fusée, ciseaux, tournevis, "
    "mouton, gratte-ciel, panneau solaire, cuillère, vaporisateur, statue, tour, arc de triomphe, "
    "volley-ball, moulin à vent, clé anglaise",
    "Spanish": "anfiteatro, acueducto, astronauta, béisbol, abeja, pájaro, bisonte, pizarra, cubo, "
    "cañón, castillo, gato, catedral, silla, camaleón, pollo, café, vaca, cangrejo, cocodrilo, "
    "taza, presa, perro, tambor, pato, pez, flor, sartén, gibón, jirafa, martillo, erizo, caballo, "
    "iglú, jaguar, canguro, koala, dragón de Komodo, lémur, bombilla, cinta métrica, alce, "
    "cortaúñas, orquesta, búho, pagoda, panda, loro, cerdo, almohada, plato, alicates, oso polar, "
    "pirámide, panda rojo, cohete, tijeras, destornillador, oveja, rascacielos, panel solar, "
    "cuchara, pulverizador, estatua, torre, arco de triunfo, voleibol, molino de viento, llave",
}


def main() -> None:
    """The table of docs/doctor.md."""
    folders = sorted(p.name for p in Path("tests/photographs").iterdir() if p.is_dir())
    sets = {"English": [name.replace("_", " ") for name in folders], "English *": [*vocabulary()]}
    sets |= {language: text.split(", ") for language, text in TRANSLATED.items()}
    rng = np.random.default_rng(0)
    print(f"told to be of another language, of {DRAWS} sets each")
    print("language  " + "".join(f"{size:>4} labels" for size in SIZES))
    for language, names in sets.items():
        shares = []
        for size in SIZES:
            draws = (rng.choice(names, size, replace=False).tolist() for _ in range(DRAWS))
            shares.append(sum(bool(foreign_labels(draw, ["en"])) for draw in draws) / DRAWS)
        print(f"{language:<10}" + "".join(f"{share:>10.1%} " for share in shares))


if __name__ == "__main__":
    main()
