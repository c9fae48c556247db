package intake

import (
	"slices"
	"strings"

	"github.com/magpie-hq/magpie/lookup"
)

// synonyms are the names (as [nameKey] writes them) under which people keep a
// field, the clearest first: English, French, German and Spanish.
func synonyms(service lookup.Service, field string) []string {
	if service == lookup.CompanyFinder && field == "profile_url" {
		return companyProfile
	}
	return names[field]
}

var names = map[string][]string{
	rowIDField: words("rowid magpierowid"),
	"first_name": words("firstname first givenname given forename fname", "prenom prenoms",
		"vorname rufname", "nombredepila primernombre nombres nombre"),
	"last_name": words("lastname last surname familyname lname", "nomdefamille", "nachname familienname zuname",
		"apellidos apellido primerapellido", "nom name"),
	"full_name": words("fullname name contactname contact person", "nomcomplet prenomnom nomprenom prenometnom nometprenom",
		"vollername vollstandigername vorundnachname ansprechpartner", "nombrecompleto nombreyapellidos nombreyapellido nombreapellidos",
		"nom nombre"),
	"domain":         website,
	"company_domain": slices.Concat(words("companydomain"), website),
	"company_name": words("companyname company organizationname organisationname organization organisation employer",
		"accountname account businessname business", "societe nomsociete nomdelasociete entreprise nomentreprise nomdelentreprise raisonsociale",
		"firma firmenname unternehmen unternehmensname arbeitgeber", "empresa nombreempresa nombredelaempresa nombredeempresa razonsocial compania sociedad",
		"name nom nombre"),
	"email":          slices.Concat(address, workAddress, homeAddress),
	"work_email":     slices.Concat(workAddress, address),
	"personal_email": homeAddress,
	"number": words("number mobilenumber mobilephonenumber mobilephone mobile cellphonenumber cellphone cellnumber cell",
		"phonenumber phone telephonenumber telephone telno tel phoneno mobileno directphone directdial workphone businessphone homephone whatsapp gsm msisdn e164",
		"portable telephoneportable telportable telephonemobile numerodeportable numerodetelephone ndetelephone numerotelephone numerodetel numtel numero",
		"handynummer handy mobilnummer mobilfunknummer mobiltelefon mobil telefonnummer telefonnr telefon rufnummer nummer",
		"movil telefonomovil numerodemovil celular numerodecelular numerodetelefono telefono"),
	"country": words("country countrycode countryiso countryiso2 isocountry isocountrycode iso2", "pays codepays",
		"land landercode landercodeiso landescode staat", "pais codigopais codigodepais codigodelpais"),
	"profile_url": words("profileurl linkedinurl linkedinprofileurl linkedinprofile linkedin linkedinlink linkedinpage profilelink profile",
		"urllinkedin lienlinkedin profillinkedin urlduprofil urldeprofil urlprofil lienduprofil profil",
		"linkedinprofil profilurl profillink", "perfildelinkedin perfillinkedin enlacelinkedin urldelperfil urldeperfil perfil", "url link lien enlace"),
	"title": words("title jobtitle job position role", "intituleduposte poste metier", "stellenbezeichnung stelle titel beruf", "puesto cargo titulo"),
	"location": words("location city place", "localisation lieu ville", "standort ort stadt",
		"ubicacion ciudad lugar localidad"),
	"remote":       words("remote isremote", "teletravail adistance", "homeoffice", "remoto teletrabajo"),
	"posted_after": words("postedafter postedsince since", "publieapres depuis", "veroffentlichtnach seit", "publicadodespuesde desde"),
}

var (
	website = words("domain domainname companydomain emaildomain website companywebsite websiteurl webpage web site homepage companyurl",
		"domaine nomdedomaine siteweb siteinternet", "domane webseite internetseite internetadresse firmenwebseite firmenwebsite",
		"dominio sitioweb paginaweb webempresa", "url")
	address = words("email emailaddress mail mailaddress", "courriel adresseemail adressemail adresseelectronique adressecourriel mel",
		"emailadresse mailadresse", "correoelectronico correo direcciondecorreo direcciondecorreoelectronico direccionemail")
	workAddress = words("workemail businessemail professionalemail companyemail corporateemail emailwork", "emailprofessionnel emailpro mailpro",
		"geschaftlicheemail dienstlicheemail emailgeschaftlich", "emaildetrabajo correodetrabajo emailprofesional correoprofesional")
	homeAddress = words("personalemail privateemail homeemail emailpersonal", "emailpersonnel emailperso mailperso",
		"privateemailadresse privatemail emailprivat", "correopersonal")
	companyProfile = words("companyprofileurl companylinkedinurl companylinkedin companylinkedinprofile profileurl linkedincompanyurl linkedinurl linkedinpage linkedin profile",
		"urllinkedin profillinkedin", "linkedinprofil", "linkedinempresa perfildelinkedin")
)

func words(lists ...string) []string { return strings.Fields(strings.Join(lists, " ")) }
