package intake_test

import (
	"strings"
	"testing"

	"github.com/magpie-hq/magpie/intake"
	"github.com/magpie-hq/magpie/lookup"
)

// The header is mapped so that the row below it becomes the query wanted.
func TestColumnsAreMappedByName(t *testing.T) {
	t.Parallel()
	jane := map[string]string{"first_name": "jane", "last_name": "doe", "domain": "acme.com"}
	janeFull := map[string]string{"first_name": "jane", "last_name": "doe", "company_name": "acme"}
	mail := map[string]string{"email": "jane@acme.com"}
	phone := map[string]string{"number": "+33612345678"}
	profile := map[string]string{"profile_url": "linkedin.com/in/jane"}
	cases := []struct {
		name    string
		service lookup.Service
		header  string
		row     string
		want    map[string]string
	}{
		{"fields' own names", lookup.EmailFinder, "first_name,last_name,domain", "Jane,Doe,acme.com", jane},
		{"English", lookup.EmailFinder, "Company Website,First Name,Surname", "acme.com,Jane,Doe", jane},
		{"English, run together", lookup.EmailFinder, "FIRSTNAME,LastName,Domain", "Jane,Doe,acme.com", jane},
		{"English, full name", lookup.EmailFinder, "Name,Organization", "Jane Doe,Acme", janeFull},
		{"English, of a contact", lookup.EmailFinder, "Contact First Name,Contact Last Name,Company Domain", "Jane,Doe,acme.com", jane},
		{"French", lookup.EmailFinder, "Prénom,Nom,Site web", "Jane,Doe,acme.com", jane},
		{"French, full name", lookup.EmailFinder, "Nom,Société", "Jane Doe,Acme", janeFull},
		{"French, long", lookup.EmailFinder, "Nom de famille,PRÉNOM,Nom de l'entreprise", "Doe,Jane,Acme", janeFull},
		{"German", lookup.EmailFinder, "Vorname,Name,Webseite", "Jane,Doe,acme.com", jane},
		{"German, both", lookup.EmailFinder, "Nachname,Vorname,Firma", "Doe,Jane,Acme", janeFull},
		{"German, full name", lookup.EmailFinder, "Ansprechpartner,Unternehmen", "Jane Doe,Acme", janeFull},
		{"Spanish", lookup.EmailFinder, "Nombre,Apellidos,Sitio web", "Jane,Doe,acme.com", jane},
		{"Spanish, full name", lookup.EmailFinder, "Nombre,Empresa", "Jane Doe,Acme", janeFull},
		{"Spanish, long", lookup.EmailFinder, "Nombre y apellidos,Razón social", "Jane Doe,Acme", janeFull},
		{"half a name beside a full one", lookup.EmailFinder, "First Name,Full Name,Company", "Jane,Jane Doe,Acme", janeFull},
		{"the better name wins over the earlier", lookup.EmailFinder, "url,last,first,domain", "x.com,Doe,Jane,acme.com", jane},

		{"English mail", lookup.EmailValidation, "id,E-Mail", "1,jane@acme.com", mail},
		{"English address", lookup.EmailValidation, "Email Address", "jane@acme.com", mail},
		{"French mail", lookup.EmailValidation, "Courriel", "jane@acme.com", mail},
		{"French address", lookup.EmailValidation, "Adresse e-mail", "jane@acme.com", mail},
		{"German mail", lookup.EmailValidation, "E-Mail-Adresse", "jane@acme.com", mail},
		{"Spanish mail", lookup.EmailValidation, "Correo electrónico", "jane@acme.com", mail},

		{"English phone", lookup.MobileValidation, "Phone Number,Country Code", "06 12 34 56 78,FR", phone},
		{"mobile before phone", lookup.MobileValidation, "Phone,Mobile", "01 02,+33612345678", phone},
		{"French phone", lookup.MobileValidation, "N° de téléphone,Pays", "06 12 34 56 78,France", phone},
		{"French number", lookup.MobileValidation, "NUMÉRO,pays", "06 12 34 56 78,FR", phone},
		{"German phone", lookup.MobileValidation, "Land,Handy", "Frankreich,06 12 34 56 78", phone},
		{"German telephone", lookup.MobileValidation, "Telefon,Land", "06 12 34 56 78,FR", phone},
		{"Spanish phone", lookup.MobileValidation, "Teléfono móvil,País", "06 12 34 56 78,Francia", phone},
		{"dialling code", lookup.MobileValidation, "tel.,country_code", "06 12 34 56 78,+33", phone},

		{"English profile", lookup.MobileFinder, "LinkedIn URL,email", "https://linkedin.com/in/jane,x@y.com", profile},
		{"work and personal", lookup.MobileFinder, "Personal Email,Email", "j@home.com,jane@acme.com", map[string]string{"work_email": "jane@acme.com"}},
		{"profile", lookup.ProfileSearch, "Profile", "linkedin.com/in/jane", profile},
		{"French profile", lookup.ProfileSearch, "Profil LinkedIn", "linkedin.com/in/jane", profile},
		{"Spanish profile", lookup.ProfileSearch, "Perfil de LinkedIn", "linkedin.com/in/jane", profile},

		{"company", lookup.CompanyFinder, "name", "Acme", map[string]string{"company_name": "acme"}},
		{"company page", lookup.CompanyFinder, "Company LinkedIn URL", "linkedin.com/company/acme", map[string]string{"profile_url": "linkedin.com/company/acme"}},
		{"company url", lookup.CompanyFinder, "URL,linkedin", "acme.com,linkedin.com/company/x", map[string]string{"domain": "acme.com"}},
		{"jobs", lookup.JobsData, "Website,Job Title,City", "acme.com,Engineer,Paris", map[string]string{"company_domain": "acme.com", "title": "engineer", "location": "paris"}},
		{"jobs in German", lookup.JobsData, "Firma,Stelle,Ort", "Acme,Koch,Berlin", map[string]string{"company_name": "acme", "title": "koch", "location": "berlin"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, rows := mustRead(t, c.header+"\n"+c.row+"\n", intake.CSV, intake.Options{Service: c.service})
			wantQuery(t, rows[0], c.want)
		})
	}
}

func TestMapping(t *testing.T) {
	t.Parallel()
	file := "Name,CRM id,E-mail,Other\nJane,7,jane@acme.com,john@acme.com\n"
	cases := []struct {
		name    string
		mapping map[string]string
		email   string
		rowID   string
		param   string // of the error
	}{
		{"none", nil, "jane@acme.com", "", ""},
		{"another column", map[string]string{"email": "Other"}, "john@acme.com", "", ""},
		{"spelt loosely", map[string]string{"email": "OTHER "}, "john@acme.com", "", ""},
		{"the row's id", map[string]string{"row_id": "CRM id"}, "jane@acme.com", "7", ""},
		{"no such column", map[string]string{"email": "Mail 2"}, "", "", "mapping.email"},
		{"an empty column", map[string]string{"email": ""}, "", "", "mapping.email"},
		{"no such field", map[string]string{"number": "Other"}, "", "", "mapping.number"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := intake.Options{Service: lookup.EmailValidation, Mapping: c.mapping}
			if c.param != "" {
				_, err := intake.Open(strings.NewReader(file), intake.CSV, o)
				wantError(t, err, c.param, intake.CodeInvalid, "E-mail", "email")
				return
			}
			_, rows := mustRead(t, file, intake.CSV, o)
			wantQuery(t, rows[0], map[string]string{"email": c.email})
			if rows[0].RowID != c.rowID {
				t.Errorf("row id %q, want %q", rows[0].RowID, c.rowID)
			}
		})
	}
}

// A column that the mapping claims serves no other field, and half a name that
// the mapping asks for stays.
func TestMappingBesideNames(t *testing.T) {
	t.Parallel()
	o := intake.Options{Service: lookup.EmailFinder, Mapping: map[string]string{"last_name": "Name"}}
	_, rows := mustRead(t, "Name,Given,Domain\nDoe,Jane,acme.com\n", intake.CSV, o)
	wantQuery(t, rows[0], map[string]string{"first_name": "jane", "last_name": "doe", "domain": "acme.com"})
}

func TestRowID(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"row_id", "Row ID", "rowid", "magpie_row_id"} {
		_, rows := mustRead(t, "id,email,"+name+"\n1,jane@acme.com,A-7\n", intake.CSV, intake.Options{Service: lookup.EmailValidation})
		if rows[0].RowID != "A-7" {
			t.Errorf("%s: row id %q, want A-7", name, rows[0].RowID)
		}
	}
}
