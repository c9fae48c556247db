package demo

import "strings"

// firstNames are given names of many languages, as their owners write them.
var firstNames = list(`
Aaliyah, Abdul Karim, Adaeze, Agnieszka, Ahmed, Aiko, Aino, Álvaro, Amélie, Amina, Ana Lucía, Anders, Andrea,
Anne-Marie, Anya, Arjun, Astrid, Ayşe, Babajide, Beatriz, Benjamin, Björn, Blessing, Camille, Carlos, Carmen,
Charlotte, Chidi, Chiara, Chloé, Claire, D'Andre, Daniel, Deepika, Dimitrios, Eduardo, Efua, Eilidh, Elena,
Élodie, Emma, Erik, Esther, Fatima, Ferenc, Francesca, François, Freya, Gabriela, Giulia, Grace, Grzegorz, Günther,
Hana, Hannah, Haruto, Helena, Henrik, Hiroshi, Ibrahim, Ifeoma, Ilse, Inés, Ingrid, Isabella, István, Ivana,
Jack, Jakub, James, Jan Willem, Jean-Pierre, Jelena, Joana, João, Johanna, José María, Jürgen, Kaito, Katarzyna,
Kateřina, Kavya, Khadija, Kofi, Kwame, Lars, Latisha, Laura, Léa, Leila, Li Wei, Lindiwe, Lucas, Luís, Łukasz,
Maeve, Magdalena, Małgorzata, Marcus, María José, Marie, Mateo, Matthias, Mehmet, Mei Ling, Michael, Miguel Ángel,
Min-jun, Mohammed, Mónica, Nadia, Naoko, Natalia, Ngozi, Nguyệt, Niamh, Nikolaos, Noémie, Olga, Oliver, Olu, Omar,
Ondřej, Oscar, Paolo, Pedro, Petra, Philippe, Pia, Piotr, Priya, Rachel, Rafael, Rajesh, Raúl, Réka, Ricardo,
Rosa, Ruth, Sakura, Samuel, Sanjay, Sean, Seán, Şebnem, Siobhán, Sofia, Søren, Sophie, Stefan, Sunita, Svetlana,
Tadeusz, Tāne, Thabo, Thandiwe, Théo, Thomas, Tiago, Tomáš, Ulrike, Valentina, Vera, Viktor, Wei, William, Wojciech,
Xiomara, Yara, Yasmin, Yui, Yusuf, Zainab, Zoë, Zsófia`)

// lastNames are family names of many languages, simple and double.
var lastNames = list(`
Abebe, Adeyemi, Ahmed, Åkesson, Almeida, Alonso, Andersen, Appiah, Aydın, Bakker, Banerjee, Bauer, Begum,
Bertrand, Bianchi, Björklund, Błaszczyk, Botha, Boyle, Brontë, Brown, Caruso, Castillo, Chatterjee, Chen, Çelik,
Cohen, Colombo, Conti, da Silva, D'Angelo, D'Souza, Dąbrowski, de la Cruz, de Vries, Delgado, Díaz, Dlamini, dos Santos,
Dubois, Dvořák, Eriksson, Evans, Farah, Fernández, Ferrari, Fischer, Fitzgerald, Fonseca, Fournier, Friedman, Fujimoto,
García Márquez, Gashi, Giannopoulos, Gómez, González, Grönberg, Gupta, Haddad, Hansen, Hernández, Hoffmann, Horváth,
Ibáñez, Ivanova, Jansen, Jiménez, Johansson, Jones, Kapoor, Kim, Kimani, Kleine-Brockhoff, Kovács, Kowalski, Kowalczyk,
Kumar, Lange, Lefèvre, Lehtonen, Lima, López, Lund, MacDonald, Mäkinen, Marković, Martin, Martínez, Mbeki, McCarthy,
Medeiros, Mensah, Meyer, Molnár, Moreau, Moreno, Müller, Murphy, Nakamura, Ncube, Németh, Nguyễn, Nielsen,
Novák, Nowak, Núñez, Ó Briain, O'Brien, O'Connor, O'Neill, Obi, Okafor, Olsen, Ortega, Østergaard, Özdemir, Papadopoulos,
Park, Patel, Pereira, Petrović, Pham, Popescu, Quispe, Ramírez, Rao, Reddy, Ribeiro, Rizzo, Rodríguez, Rossi, Roux,
Ruiz, Saint-Exupère, Saito, Salazar, Sánchez, Sato, Schäfer, Schmidt, Schröder, Sharma, Silva, Singh, Smith, Sørensen,
Sousa, Strauß, Suzuki, Švec, Taylor, Thompson, Török, Tremblay, Tshabalala, Ueda, van den Berg, van der Merwe, Vargas,
Vasquez, Villanueva, Virtanen, von Arnim, Wagner, Walker, Wang, Weiß, Williams, Wiśniewski, Wójcik, Wong, Yamamoto,
Yılmaz, Zapata, Zhang, Zieliński, Žižka`)

// companyNames and companyTrades together make 400 companies.
var (
	companyNames = list(`
amber, atlas, birch, cobalt, delta, ember, fjord, granite, harbour, iris, juniper, kestrel, lumen, meridian,
nimbus, orchard, pioneer, quarry, river, summit`)
	companyTrades = list(`
analytics, bakery, biotech, capital, cargo, care, design, energy, films, foods, hotels, insurance, labs, legal,
logistics, media, robotics, software, steel, textiles`)
)

// list reads names that are separated by commas and white space.
func list(names string) []string {
	split := strings.Split(names, ",")
	for i, name := range split {
		split[i] = strings.TrimSpace(name)
	}
	return split
}
