"""How often a label set of another language is told, and an English one is taken for such.

    python benchmarks/label_language.py

Sets are drawn from the names of the things in tests/photographs, as they are and translated, and
(*) from the 995 everyday words of vocabulary.txt. Then from 36 things of COCO's, translated; and,
as they must not be taken for another language, from English words and names that no list here was
made from: dishes, dogs, cars, people, cities, brands, plants.
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
    "French": "amphithéâtre, aqueduc, astronaute, baseball, abeille, oiseau, bison, "
    "tableau noir, seau, canyon, château, chat, cathédrale, chaise, caméléon, poulet, café, "
    "vache, crabe, crocodile, tasse, barrage, chien, tambour, canard, poisson, fleur, poêle, "
    "gibbon, girafe, marteau, hérisson, cheval, igloo, jaguar, kangourou, koala, "
    "dragon de Komodo, lémurien, ampoule, mètre ruban, élan, coupe-ongles, orchestre, hibou, "
    "pagode, panda, perroquet, cochon, oreiller, assiette, pince, ours polaire, pyramide, "
    "panda roux, fusée, ciseaux, tournevis, mouton, gratte-ciel, panneau solaire, cuillère, "
    "vaporisateur, statue, tour, arc de triomphe, volley-ball, moulin à vent, clé anglaise",
    "Spanish": "anfiteatro, acueducto, astronauta, béisbol, abeja, pájaro, bisonte, pizarra, "
    "cubo, cañón, castillo, gato, catedral, silla, camaleón, pollo, café, vaca, cangrejo, "
    "cocodrilo, taza, presa, perro, tambor, pato, pez, flor, sartén, gibón, jirafa, martillo, "
    "erizo, caballo, iglú, jaguar, canguro, koala, dragón de Komodo, lémur, bombilla, "
    "cinta métrica, alce, cortaúñas, orquesta, búho, pagoda, panda, loro, cerdo, almohada, "
    "plato, alicates, oso polar, pirámide, panda rojo, cohete, tijeras, destornillador, oveja, "
    "rascacielos, panel solar, cuchara, pulverizador, estatua, torre, arco de triunfo, "
    "voleibol, molino de viento, llave",
    "Italian": "anfiteatro, acquedotto, astronauta, baseball, ape, uccello, bisonte, lavagna, "
    "secchio, canyon, castello, gatto, cattedrale, sedia, camaleonte, pollo, caffè, mucca, "
    "granchio, coccodrillo, tazza, diga, cane, tamburo, anatra, pesce, fiore, padella, "
    "gibbone, giraffa, martello, riccio, cavallo, igloo, giaguaro, canguro, koala, "
    "drago di Komodo, lemure, lampadina, metro a nastro, alce, tagliaunghie, orchestra, gufo, "
    "pagoda, panda, pappagallo, maiale, cuscino, piatto, pinze, orso polare, piramide, "
    "panda rosso, razzo, forbici, cacciavite, pecora, grattacielo, pannello solare, cucchiaio, "
    "spruzzino, statua, torre, arco di trionfo, pallavolo, mulino a vento, chiave inglese",
    "Portuguese": "anfiteatro, aqueduto, astronauta, beisebol, abelha, pássaro, bisão, lousa, "
    "balde, desfiladeiro, castelo, gato, catedral, cadeira, camaleão, galinha, café, vaca, "
    "caranguejo, crocodilo, xícara, barragem, cachorro, tambor, pato, peixe, flor, frigideira, "
    "gibão, girafa, martelo, ouriço, cavalo, iglu, onça, canguru, coala, dragão de Komodo, "
    "lêmure, lâmpada, fita métrica, alce, cortador de unhas, orquestra, coruja, pagode, panda, "
    "papagaio, porco, travesseiro, prato, alicate, urso polar, pirâmide, panda vermelho, "
    "foguete, tesoura, chave de fenda, ovelha, arranha-céu, painel solar, colher, borrifador, "
    "estátua, torre, arco do triunfo, vôlei, moinho de vento, chave inglesa",
}

# 36 of the 80 things of COCO (Lin et al. 2014, arXiv:1405.0312), in the same order.
THINGS = {
    "German": "Fahrrad, Auto, Motorrad, Flugzeug, Bus, Zug, Lastwagen, Boot, Ampel, Parkuhr, "
    "Bank, Vogel, Hund, Pferd, Elefant, Bär, Zebra, Rucksack, Regenschirm, Handtasche, "
    "Krawatte, Koffer, Drachen, Flasche, Weinglas, Gabel, Messer, Löffel, Banane, Apfel, "
    "Karotte, Kuchen, Stuhl, Bett, Uhr, Zahnbürste",
    "French": "vélo, voiture, moto, avion, bus, train, camion, bateau, feu tricolore, "
    "parcmètre, banc, oiseau, chien, cheval, éléphant, ours, zèbre, sac à dos, parapluie, "
    "sac à main, cravate, valise, cerf-volant, bouteille, verre à vin, fourchette, couteau, "
    "cuillère, banane, pomme, carotte, gâteau, chaise, lit, horloge, brosse à dents",
    "Spanish": "bicicleta, coche, motocicleta, avión, autobús, tren, camión, barco, semáforo, "
    "parquímetro, banco, pájaro, perro, caballo, elefante, oso, cebra, mochila, paraguas, "
    "bolso, corbata, maleta, cometa, botella, copa de vino, tenedor, cuchillo, cuchara, "
    "plátano, manzana, zanahoria, pastel, silla, cama, reloj, cepillo de dientes",
    "Italian": "bicicletta, automobile, moto, aeroplano, autobus, treno, camion, barca, "
    "semaforo, parchimetro, panchina, uccello, cane, cavallo, elefante, orso, zebra, zaino, "
    "ombrello, borsetta, cravatta, valigia, aquilone, bottiglia, calice, forchetta, coltello, "
    "cucchiaio, banana, mela, carota, torta, sedia, letto, orologio, spazzolino",
    "Portuguese": "bicicleta, carro, motocicleta, avião, ônibus, trem, caminhão, barco, "
    "semáforo, parquímetro, banco, pássaro, cachorro, cavalo, elefante, urso, zebra, mochila, "
    "guarda-chuva, bolsa, gravata, mala, pipa, garrafa, taça de vinho, garfo, faca, colher, "
    "banana, maçã, cenoura, bolo, cadeira, cama, relógio, escova de dentes",
    "Russian": "велосипед, машина, мотоцикл, самолёт, автобус, поезд, грузовик, лодка, "
    "светофор, паркомат, скамейка, птица, собака, лошадь, слон, медведь, зебра, рюкзак, зонт, "
    "сумка, галстук, чемодан, змей, бутылка, бокал, вилка, нож, ложка, банан, яблоко, морковь, "
    "торт, стул, кровать, часы, зубная щётка",
    "Chinese": "自行车, 汽车, 摩托车, 飞机, 公交车, 火车, 卡车, 船, 红绿灯, 停车计时器, 长椅, "
    "鸟, 狗, 马, 大象, 熊, 斑马, 背包, 雨伞, 手提包, 领带, 手提箱, 风筝, 瓶子, 酒杯, 叉子, 刀, "
    "勺子, 香蕉, 苹果, 胡萝卜, 蛋糕, 椅子, 床, 时钟, 牙刷",
    "Japanese": "自転車, 車, オートバイ, 飛行機, バス, 電車, トラック, ボート, 信号機, "
    "パーキングメーター, ベンチ, 鳥, 犬, 馬, 象, 熊, シマウマ, リュックサック, 傘, "
    "ハンドバッグ, ネクタイ, スーツケース, 凧, ボトル, ワイングラス, フォーク, ナイフ, "
    "スプーン, バナナ, りんご, にんじん, ケーキ, 椅子, ベッド, 時計, 歯ブラシ",
    "Korean": "자전거, 자동차, 오토바이, 비행기, 버스, 기차, 트럭, 보트, 신호등, 주차 미터기, "
    "벤치, 새, 개, 말, 코끼리, 곰, 얼룩말, 배낭, 우산, 핸드백, 넥타이, 여행 가방, 연, 병, "
    "와인잔, 포크, 칼, 숟가락, 바나나, 사과, 당근, 케이크, 의자, 침대, 시계, 칫솔",
}
ENGLISH = {
    "dishes": "apple pie, baby back ribs, baklava, beef tartare, bibimbap, bruschetta, "
    "carpaccio, ceviche, churros, crème brûlée, croque madame, edamame, escargots, falafel, "
    "filet mignon, foie gras, gnocchi, guacamole, gyoza, huevos rancheros, macarons, "
    "miso soup, paella, panna cotta, pho, poutine, ramen, ravioli, risotto, samosa, sashimi, "
    "takoyaki, tiramisu, waffles",
    "dogs": "affenpinscher, basenji, basset hound, beagle, bloodhound, borzoi, boxer, bulldog, "
    "chihuahua, chow, collie, dachshund, dalmatian, dingo, doberman, great dane, greyhound, "
    "husky, keeshond, komondor, kuvasz, malamute, maltese, newfoundland, papillon, pekinese, "
    "pomeranian, pug, rottweiler, saluki, samoyed, schnauzer, shih tzu, weimaraner",
    "cars": "Audi, Bentley, BMW, Bugatti, Chevrolet, Citroën, Ferrari, Fiat, Ford, Honda, "
    "Hyundai, Jaguar, Jeep, Kia, Lamborghini, Lancia, Lexus, Maserati, Mazda, McLaren, "
    "Mercedes, Mini, Nissan, Opel, Peugeot, Porsche, Renault, Seat, Škoda, Subaru, Suzuki, "
    "Tesla, Toyota, Volkswagen, Volvo",
    "people": "Alice, Benjamin, Charlotte, Daniel, Emma, Fiona, George, Hannah, Isabella, "
    "James, Katherine, Liam, Mia, Noah, Olivia, Patrick, Rachel, Samuel, Theodore, Victoria, "
    "José, Zoë, François, María, Giovanni, Giulia, Pablo, Sofia, Lucas, Marco, Hans, Ingrid, "
    "João, Renée",
    "cities": "Amsterdam, Barcelona, Berlin, Bogotá, Brussels, Buenos Aires, Cairo, Chicago, "
    "Copenhagen, Dublin, Edinburgh, Florence, Hamburg, Istanbul, Jakarta, Kyoto, Lisbon, "
    "London, Los Angeles, Madrid, Málaga, Milan, Montréal, Munich, Naples, Paris, Prague, "
    "Reykjavík, Rio de Janeiro, Rome, San Francisco, São Paulo, Stockholm, Zürich",
    "brands": "Adidas, Amazon, Apple, Coca-Cola, Corona, Danone, Ferrero, Gucci, Haribo, "
    "Heineken, H&M, Hermès, IKEA, Kellogg's, Lacoste, Lego, Levi's, L'Oréal, Milka, Nescafé, "
    "Nestlé, Nike, Nintendo, Nivea, Nutella, Pepsi, Prada, Puma, Red Bull, Rolex, Samsung, "
    "Starbucks, Vans, Zara",
    "plants": "acacia, agave, aloe vera, azalea, begonia, bougainvillea, calendula, camellia, "
    "chrysanthemum, dahlia, eucalyptus, ficus, forsythia, fuchsia, gardenia, geranium, "
    "hibiscus, hyacinth, iris, jasmine, lavender, lilac, magnolia, monstera, oleander, orchid, "
    "peony, petunia, primrose, rhododendron, verbena, viola, wisteria, zinnia",
    "scenes": "airport terminal, art gallery, bakery, bamboo forest, beach, bedroom, bridge, "
    "café, castle, cathedral, cliff, courtyard, desert, driveway, fountain, glacier, harbour, "
    "hospital room, igloo, jail cell, kitchen, lighthouse, marsh, nursery, orchard, pagoda, "
    "playground, restaurant, skyscraper, subway station, temple, vineyard, volcano, windmill",
}


def main() -> None:
    """The table of docs/doctor.md."""
    folders = sorted(p.name for p in Path("tests/photographs").iterdir() if p.is_dir())
    sets = {"English": [name.replace("_", " ") for name in folders], "English *": [*vocabulary()]}
    sets |= {language: text.split(", ") for language, text in TRANSLATED.items()}
    rng = np.random.default_rng(0)
    print(f"told to be of another language, of {DRAWS} sets each")
    table(sets, rng)
    print("36 things of COCO")
    table({language: text.split(", ") for language, text in THINGS.items()}, rng)
    print("English, and names: none should be told")
    table({kind: text.split(", ") for kind, text in ENGLISH.items()}, rng)


def table(sets: dict[str, list[str]], rng: np.random.Generator) -> None:
    """A line a language: the share of sets of which something is said, by how many labels."""
    print(f"{'':<12}" + "".join(f"{size:>4} labels" for size in SIZES))
    for language, names in sets.items():
        shares = []
        for size in SIZES:
            draws = (rng.choice(names, size, replace=False).tolist() for _ in range(DRAWS))
            shares.append(sum(bool(foreign_labels(draw, ["en"])) for draw in draws) / DRAWS)
        print(f"{language:<12}" + "".join(f"{share:>10.1%} " for share in shares), flush=True)


if __name__ == "__main__":
    main()
