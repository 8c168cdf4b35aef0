BEGIN TRANSACTION;
CREATE TABLE attempts (            
        attempt_id INTEGER PRIMARY KEY,
        candidate_id INTEGER NOT NULL REFERENCES candidates,
        time TEXT NOT NULL,
        state TEXT NOT NULL,
        reason TEXT NOT NULL,
        status INTEGER,                
        bytes INTEGER NOT NULL,
        seconds REAL NOT NULL
    , declared TEXT NOT NULL DEFAULT '', announced INTEGER) STRICT;
INSERT INTO "attempts" VALUES(1,1,'2026-11-30T22:10:14.747901+00:00','accepted','',200,9,0.5,'image/png',9);
INSERT INTO "attempts" VALUES(2,2,'2026-11-30T22:10:14.748234+00:00','accepted','',200,9,0.5,'image/png',9);
INSERT INTO "attempts" VALUES(3,3,'2026-11-30T22:10:14.748377+00:00','accepted','',200,9,0.5,'image/png',9);
INSERT INTO "attempts" VALUES(4,4,'2026-11-30T22:10:14.748494+00:00','accepted','',200,9,0.5,'image/png',9);
INSERT INTO "attempts" VALUES(5,5,'2026-11-30T22:10:14.748605+00:00','accepted','',200,9,0.5,'image/png',9);
INSERT INTO "attempts" VALUES(6,6,'2026-11-30T22:10:14.748710+00:00','accepted','',200,9,0.5,'image/png',9);
INSERT INTO "attempts" VALUES(7,7,'2026-11-30T22:10:14.748813+00:00','accepted','',200,9,0.5,'image/png',9);
INSERT INTO "attempts" VALUES(8,8,'2026-11-30T22:10:14.748928+00:00','accepted','',200,9,0.5,'image/png',9);
INSERT INTO "attempts" VALUES(9,9,'2026-11-30T22:10:14.749038+00:00','accepted','',200,9,0.5,'image/png',9);
INSERT INTO "attempts" VALUES(10,10,'2026-11-30T22:10:14.749139+00:00','accepted','',200,9,0.5,'image/png',9);
INSERT INTO "attempts" VALUES(11,11,'2026-11-30T22:10:14.749244+00:00','accepted','',200,9,0.5,'image/png',9);
INSERT INTO "attempts" VALUES(12,12,'2026-11-30T22:10:14.749340+00:00','accepted','',200,9,0.5,'image/png',9);
INSERT INTO "attempts" VALUES(13,13,'2026-11-30T22:10:14.749435+00:00','accepted','',200,9,0.5,'image/png',9);
INSERT INTO "attempts" VALUES(14,14,'2026-11-30T22:10:14.749530+00:00','accepted','',200,9,0.5,'image/png',9);
INSERT INTO "attempts" VALUES(15,15,'2026-11-30T22:10:14.749622+00:00','accepted','',200,9,0.5,'image/png',9);
INSERT INTO "attempts" VALUES(16,16,'2026-11-30T22:10:14.749713+00:00','accepted','',200,9,0.5,'image/png',9);
INSERT INTO "attempts" VALUES(17,17,'2026-11-30T22:10:14.749807+00:00','accepted','',200,9,0.5,'image/png',9);
INSERT INTO "attempts" VALUES(18,18,'2026-11-30T22:10:14.749904+00:00','accepted','',200,9,0.5,'image/png',9);
INSERT INTO "attempts" VALUES(19,19,'2026-11-30T22:10:14.750001+00:00','accepted','',200,9,0.5,'image/png',9);
INSERT INTO "attempts" VALUES(20,20,'2026-11-30T22:10:14.750094+00:00','accepted','',200,9,0.5,'image/png',9);
INSERT INTO "attempts" VALUES(21,21,'2026-11-30T22:10:14.750185+00:00','accepted','',200,9,0.5,'image/png',9);
INSERT INTO "attempts" VALUES(22,22,'2026-11-30T22:10:14.750277+00:00','accepted','',200,9,0.5,'image/png',9);
INSERT INTO "attempts" VALUES(23,23,'2026-11-30T22:10:14.754641+00:00','accepted','',200,9,0.5,'image/png',9);
INSERT INTO "attempts" VALUES(24,24,'2026-11-30T22:10:14.754812+00:00','accepted','',200,9,0.5,'image/png',9);
CREATE TABLE candidates (          
        candidate_id INTEGER PRIMARY KEY,
        url_key TEXT NOT NULL UNIQUE,
        url TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'found' CHECK (state IN ('found', 'fetched', 'accepted', 'rejected', 'failed')),
        reason TEXT NOT NULL DEFAULT '',
        image_id TEXT REFERENCES images,
        attempts INTEGER NOT NULL DEFAULT 0,
        updated TEXT NOT NULL
    ) STRICT;
INSERT INTO "candidates" VALUES(1,'https://example.org/0.png','https://example.org/0.png','accepted','','719d8203b9174f104121ff8bcea3856942cd3464ffbbad76c2b663aa9cb4d2c4',1,'2026-11-30T22:10:14.747901+00:00');
INSERT INTO "candidates" VALUES(2,'https://example.org/1.png','https://example.org/1.png','accepted','','66053dc1b3e6c36d47315289817e3accadbc8941d5880fa75eacbfff0d835c4d',1,'2026-11-30T22:10:14.748234+00:00');
INSERT INTO "candidates" VALUES(3,'https://example.org/2.png','https://example.org/2.png','accepted','','44fb9c5e4ca0bd1c552611414956acd43e2bf6e653cae7a22ea2438ea5b607ca',1,'2026-11-30T22:10:14.748377+00:00');
INSERT INTO "candidates" VALUES(4,'https://example.org/3.png','https://example.org/3.png','accepted','','861f5c081f615ea9b298f0e724e120e716391cb7ea8cf12c14fa29b946e7e0bd',1,'2026-11-30T22:10:14.748494+00:00');
INSERT INTO "candidates" VALUES(5,'https://example.org/4.png','https://example.org/4.png','accepted','','555bcc08cf941ac688b22c54b9303f28561c274bdc0b2647f1b31925f6821f33',1,'2026-11-30T22:10:14.748605+00:00');
INSERT INTO "candidates" VALUES(6,'https://example.org/5.png','https://example.org/5.png','accepted','','c773e70ba5e3793bdc6767f4794cdc71161b724ce1322ef0d15daa0ef705ebd3',1,'2026-11-30T22:10:14.748710+00:00');
INSERT INTO "candidates" VALUES(7,'https://example.org/6.png','https://example.org/6.png','accepted','','cd1094f0eaea3b3069d8f2ce44eb6c3a711adeae18f01f802f1a48b15fb0fda3',1,'2026-11-30T22:10:14.748813+00:00');
INSERT INTO "candidates" VALUES(8,'https://example.org/7.png','https://example.org/7.png','accepted','','804949ed9ad48097c7900ee885f975c518e5fd791caf345eb9d8842493d313ec',1,'2026-11-30T22:10:14.748928+00:00');
INSERT INTO "candidates" VALUES(9,'https://example.org/8.png','https://example.org/8.png','accepted','','09d4dbc6ac64d6a994f791cdb0b671b08975e848c51cda24ad36da412f1307cd',1,'2026-11-30T22:10:14.749038+00:00');
INSERT INTO "candidates" VALUES(10,'https://example.org/9.png','https://example.org/9.png','accepted','','b83f4de6d923d771edbbd17fbc7ac2e24523a208527ae5075db5665424708f40',1,'2026-11-30T22:10:14.749139+00:00');
INSERT INTO "candidates" VALUES(11,'https://example.org/10.png','https://example.org/10.png','accepted','','7c725eacc6f754d8a1775cad07fbab8caca730bc0541fcea52c8a07c5768ca43',1,'2026-11-30T22:10:14.749244+00:00');
INSERT INTO "candidates" VALUES(12,'https://example.org/11.png','https://example.org/11.png','accepted','','1675333165d62357da15e699a6f5b8677d55c3be1a073766cf8e9fded8aefc76',1,'2026-11-30T22:10:14.749340+00:00');
INSERT INTO "candidates" VALUES(13,'https://example.org/12.png','https://example.org/12.png','accepted','','3d917325a05ae31c5ae02a0de8d0aa599604b63b9db26b8a81276e7a12051ff9',1,'2026-11-30T22:10:14.749435+00:00');
INSERT INTO "candidates" VALUES(14,'https://example.org/13.png','https://example.org/13.png','accepted','','c839b52bfd73726b6a5231fd81effc9de9b4d4851cbc76acbda96e291e3a8e73',1,'2026-11-30T22:10:14.749530+00:00');
INSERT INTO "candidates" VALUES(15,'https://example.org/14.png','https://example.org/14.png','accepted','','bae3b52a911bbf639ea1347f193e4b8b4430b644c9a54d275b4be9326d1f315c',1,'2026-11-30T22:10:14.749622+00:00');
INSERT INTO "candidates" VALUES(16,'https://example.org/15.png','https://example.org/15.png','accepted','','02b02dd9901e2807642d32b32909c3813734c31196c4b75706d15bde49211a86',1,'2026-11-30T22:10:14.749713+00:00');
INSERT INTO "candidates" VALUES(17,'https://example.org/16.png','https://example.org/16.png','accepted','','1188d3631cce46fcdb21083539e62e2fda7e9595d7a33cb7b00b3d747d3cc087',1,'2026-11-30T22:10:14.749807+00:00');
INSERT INTO "candidates" VALUES(18,'https://example.org/17.png','https://example.org/17.png','accepted','','c0e32d07920a5f647e2390ba0f5dc241a11eeb1b1cc48d115c94e3cb353b12e7',1,'2026-11-30T22:10:14.749904+00:00');
INSERT INTO "candidates" VALUES(19,'https://example.org/18.png','https://example.org/18.png','accepted','','7b59d0f2092546ce7fe358308bca415241818eaae75ee179d93e8c1af52af4ff',1,'2026-11-30T22:10:14.750001+00:00');
INSERT INTO "candidates" VALUES(20,'https://example.org/19.png','https://example.org/19.png','accepted','','759825d38448c4013551d49216539213675cc433c4a1081c9b31c50c97af5428',1,'2026-11-30T22:10:14.750094+00:00');
INSERT INTO "candidates" VALUES(21,'https://example.org/20.png','https://example.org/20.png','accepted','','6e7a3c5c1a4af44a40f3656dd6c3ad94083ca04d610a24bdb8a5ec3d3f2ff1b3',1,'2026-11-30T22:10:14.750185+00:00');
INSERT INTO "candidates" VALUES(22,'https://example.org/21.png','https://example.org/21.png','accepted','','73d953daa735df32d5e8756296beb082d655185ee93b8936e46945886ea7b26b',1,'2026-11-30T22:10:14.750277+00:00');
INSERT INTO "candidates" VALUES(23,'https://example.org/22.png','https://example.org/22.png','accepted','','a80c4bb0a55e62b0de0443e01ca6b10d3461d1d874bc08c33fc67a38ebbf7fb1',1,'2026-11-30T22:10:14.754641+00:00');
INSERT INTO "candidates" VALUES(24,'https://example.org/23.png','https://example.org/23.png','accepted','','613d45ebf094de08a1fe289285f1012a6e883e90086a424a178d844b7aba1dcc',1,'2026-11-30T22:10:14.754812+00:00');
CREATE TABLE components (          
        image_id TEXT PRIMARY KEY REFERENCES images,
        component TEXT NOT NULL        
    ) STRICT;
INSERT INTO "components" VALUES('719d8203b9174f104121ff8bcea3856942cd3464ffbbad76c2b663aa9cb4d2c4','44fb9c5e4ca0bd1c552611414956acd43e2bf6e653cae7a22ea2438ea5b607ca');
INSERT INTO "components" VALUES('66053dc1b3e6c36d47315289817e3accadbc8941d5880fa75eacbfff0d835c4d','44fb9c5e4ca0bd1c552611414956acd43e2bf6e653cae7a22ea2438ea5b607ca');
INSERT INTO "components" VALUES('44fb9c5e4ca0bd1c552611414956acd43e2bf6e653cae7a22ea2438ea5b607ca','44fb9c5e4ca0bd1c552611414956acd43e2bf6e653cae7a22ea2438ea5b607ca');
INSERT INTO "components" VALUES('861f5c081f615ea9b298f0e724e120e716391cb7ea8cf12c14fa29b946e7e0bd','861f5c081f615ea9b298f0e724e120e716391cb7ea8cf12c14fa29b946e7e0bd');
INSERT INTO "components" VALUES('555bcc08cf941ac688b22c54b9303f28561c274bdc0b2647f1b31925f6821f33','555bcc08cf941ac688b22c54b9303f28561c274bdc0b2647f1b31925f6821f33');
INSERT INTO "components" VALUES('c773e70ba5e3793bdc6767f4794cdc71161b724ce1322ef0d15daa0ef705ebd3','c773e70ba5e3793bdc6767f4794cdc71161b724ce1322ef0d15daa0ef705ebd3');
INSERT INTO "components" VALUES('cd1094f0eaea3b3069d8f2ce44eb6c3a711adeae18f01f802f1a48b15fb0fda3','cd1094f0eaea3b3069d8f2ce44eb6c3a711adeae18f01f802f1a48b15fb0fda3');
INSERT INTO "components" VALUES('804949ed9ad48097c7900ee885f975c518e5fd791caf345eb9d8842493d313ec','804949ed9ad48097c7900ee885f975c518e5fd791caf345eb9d8842493d313ec');
INSERT INTO "components" VALUES('09d4dbc6ac64d6a994f791cdb0b671b08975e848c51cda24ad36da412f1307cd','09d4dbc6ac64d6a994f791cdb0b671b08975e848c51cda24ad36da412f1307cd');
INSERT INTO "components" VALUES('b83f4de6d923d771edbbd17fbc7ac2e24523a208527ae5075db5665424708f40','b83f4de6d923d771edbbd17fbc7ac2e24523a208527ae5075db5665424708f40');
INSERT INTO "components" VALUES('7c725eacc6f754d8a1775cad07fbab8caca730bc0541fcea52c8a07c5768ca43','7c725eacc6f754d8a1775cad07fbab8caca730bc0541fcea52c8a07c5768ca43');
INSERT INTO "components" VALUES('1675333165d62357da15e699a6f5b8677d55c3be1a073766cf8e9fded8aefc76','1675333165d62357da15e699a6f5b8677d55c3be1a073766cf8e9fded8aefc76');
INSERT INTO "components" VALUES('3d917325a05ae31c5ae02a0de8d0aa599604b63b9db26b8a81276e7a12051ff9','3d917325a05ae31c5ae02a0de8d0aa599604b63b9db26b8a81276e7a12051ff9');
INSERT INTO "components" VALUES('c839b52bfd73726b6a5231fd81effc9de9b4d4851cbc76acbda96e291e3a8e73','c839b52bfd73726b6a5231fd81effc9de9b4d4851cbc76acbda96e291e3a8e73');
INSERT INTO "components" VALUES('bae3b52a911bbf639ea1347f193e4b8b4430b644c9a54d275b4be9326d1f315c','bae3b52a911bbf639ea1347f193e4b8b4430b644c9a54d275b4be9326d1f315c');
INSERT INTO "components" VALUES('02b02dd9901e2807642d32b32909c3813734c31196c4b75706d15bde49211a86','02b02dd9901e2807642d32b32909c3813734c31196c4b75706d15bde49211a86');
INSERT INTO "components" VALUES('1188d3631cce46fcdb21083539e62e2fda7e9595d7a33cb7b00b3d747d3cc087','1188d3631cce46fcdb21083539e62e2fda7e9595d7a33cb7b00b3d747d3cc087');
INSERT INTO "components" VALUES('c0e32d07920a5f647e2390ba0f5dc241a11eeb1b1cc48d115c94e3cb353b12e7','c0e32d07920a5f647e2390ba0f5dc241a11eeb1b1cc48d115c94e3cb353b12e7');
INSERT INTO "components" VALUES('7b59d0f2092546ce7fe358308bca415241818eaae75ee179d93e8c1af52af4ff','7b59d0f2092546ce7fe358308bca415241818eaae75ee179d93e8c1af52af4ff');
INSERT INTO "components" VALUES('759825d38448c4013551d49216539213675cc433c4a1081c9b31c50c97af5428','759825d38448c4013551d49216539213675cc433c4a1081c9b31c50c97af5428');
INSERT INTO "components" VALUES('6e7a3c5c1a4af44a40f3656dd6c3ad94083ca04d610a24bdb8a5ec3d3f2ff1b3','6e7a3c5c1a4af44a40f3656dd6c3ad94083ca04d610a24bdb8a5ec3d3f2ff1b3');
INSERT INTO "components" VALUES('73d953daa735df32d5e8756296beb082d655185ee93b8936e46945886ea7b26b','73d953daa735df32d5e8756296beb082d655185ee93b8936e46945886ea7b26b');
INSERT INTO "components" VALUES('a80c4bb0a55e62b0de0443e01ca6b10d3461d1d874bc08c33fc67a38ebbf7fb1','a80c4bb0a55e62b0de0443e01ca6b10d3461d1d874bc08c33fc67a38ebbf7fb1');
INSERT INTO "components" VALUES('613d45ebf094de08a1fe289285f1012a6e883e90086a424a178d844b7aba1dcc','613d45ebf094de08a1fe289285f1012a6e883e90086a424a178d844b7aba1dcc');
CREATE TABLE copies (              
        a BLOB NOT NULL,               
        b BLOB NOT NULL,
        reason TEXT NOT NULL,          
        distance REAL NOT NULL,        
        PRIMARY KEY (a, b)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "copies" VALUES(X'01',X'02','same',1.0);
CREATE TABLE decisions (           
        decision_id INTEGER PRIMARY KEY,
        image_id TEXT NOT NULL REFERENCES images,
        time TEXT NOT NULL,
        who TEXT NOT NULL,             
        old TEXT NOT NULL,
        new TEXT NOT NULL,             
        why TEXT NOT NULL
    ) STRICT;
INSERT INTO "decisions" VALUES(1,'719d8203b9174f104121ff8bcea3856942cd3464ffbbad76c2b663aa9cb4d2c4','2026-11-30T22:10:14.748088+00:00','collect:site','','cat','found as cat');
INSERT INTO "decisions" VALUES(2,'66053dc1b3e6c36d47315289817e3accadbc8941d5880fa75eacbfff0d835c4d','2026-11-30T22:10:14.748298+00:00','collect:site','','dog','found as dog');
INSERT INTO "decisions" VALUES(3,'44fb9c5e4ca0bd1c552611414956acd43e2bf6e653cae7a22ea2438ea5b607ca','2026-11-30T22:10:14.748423+00:00','collect:site','','cat','found as cat');
INSERT INTO "decisions" VALUES(4,'861f5c081f615ea9b298f0e724e120e716391cb7ea8cf12c14fa29b946e7e0bd','2026-11-30T22:10:14.748538+00:00','collect:site','','dog','found as dog');
INSERT INTO "decisions" VALUES(5,'555bcc08cf941ac688b22c54b9303f28561c274bdc0b2647f1b31925f6821f33','2026-11-30T22:10:14.748646+00:00','collect:site','','cat','found as cat');
INSERT INTO "decisions" VALUES(6,'c773e70ba5e3793bdc6767f4794cdc71161b724ce1322ef0d15daa0ef705ebd3','2026-11-30T22:10:14.748749+00:00','collect:site','','dog','found as dog');
INSERT INTO "decisions" VALUES(7,'cd1094f0eaea3b3069d8f2ce44eb6c3a711adeae18f01f802f1a48b15fb0fda3','2026-11-30T22:10:14.748851+00:00','collect:site','','cat','found as cat');
INSERT INTO "decisions" VALUES(8,'804949ed9ad48097c7900ee885f975c518e5fd791caf345eb9d8842493d313ec','2026-11-30T22:10:14.748972+00:00','collect:site','','dog','found as dog');
INSERT INTO "decisions" VALUES(9,'09d4dbc6ac64d6a994f791cdb0b671b08975e848c51cda24ad36da412f1307cd','2026-11-30T22:10:14.749076+00:00','collect:site','','cat','found as cat');
INSERT INTO "decisions" VALUES(10,'b83f4de6d923d771edbbd17fbc7ac2e24523a208527ae5075db5665424708f40','2026-11-30T22:10:14.749176+00:00','collect:site','','dog','found as dog');
INSERT INTO "decisions" VALUES(11,'7c725eacc6f754d8a1775cad07fbab8caca730bc0541fcea52c8a07c5768ca43','2026-11-30T22:10:14.749280+00:00','collect:site','','cat','found as cat');
INSERT INTO "decisions" VALUES(12,'1675333165d62357da15e699a6f5b8677d55c3be1a073766cf8e9fded8aefc76','2026-11-30T22:10:14.749376+00:00','collect:site','','dog','found as dog');
INSERT INTO "decisions" VALUES(13,'3d917325a05ae31c5ae02a0de8d0aa599604b63b9db26b8a81276e7a12051ff9','2026-11-30T22:10:14.749471+00:00','collect:site','','cat','found as cat');
INSERT INTO "decisions" VALUES(14,'c839b52bfd73726b6a5231fd81effc9de9b4d4851cbc76acbda96e291e3a8e73','2026-11-30T22:10:14.749565+00:00','collect:site','','dog','found as dog');
INSERT INTO "decisions" VALUES(15,'bae3b52a911bbf639ea1347f193e4b8b4430b644c9a54d275b4be9326d1f315c','2026-11-30T22:10:14.749657+00:00','collect:site','','cat','found as cat');
INSERT INTO "decisions" VALUES(16,'02b02dd9901e2807642d32b32909c3813734c31196c4b75706d15bde49211a86','2026-11-30T22:10:14.749748+00:00','collect:site','','dog','found as dog');
INSERT INTO "decisions" VALUES(17,'1188d3631cce46fcdb21083539e62e2fda7e9595d7a33cb7b00b3d747d3cc087','2026-11-30T22:10:14.749843+00:00','collect:site','','cat','found as cat');
INSERT INTO "decisions" VALUES(18,'c0e32d07920a5f647e2390ba0f5dc241a11eeb1b1cc48d115c94e3cb353b12e7','2026-11-30T22:10:14.749940+00:00','collect:site','','dog','found as dog');
INSERT INTO "decisions" VALUES(19,'7b59d0f2092546ce7fe358308bca415241818eaae75ee179d93e8c1af52af4ff','2026-11-30T22:10:14.750036+00:00','collect:site','','cat','found as cat');
INSERT INTO "decisions" VALUES(20,'759825d38448c4013551d49216539213675cc433c4a1081c9b31c50c97af5428','2026-11-30T22:10:14.750128+00:00','collect:site','','dog','found as dog');
INSERT INTO "decisions" VALUES(21,'6e7a3c5c1a4af44a40f3656dd6c3ad94083ca04d610a24bdb8a5ec3d3f2ff1b3','2026-11-30T22:10:14.750220+00:00','collect:site','','cat','found as cat');
INSERT INTO "decisions" VALUES(22,'73d953daa735df32d5e8756296beb082d655185ee93b8936e46945886ea7b26b','2026-11-30T22:10:14.750311+00:00','collect:site','','dog','found as dog');
INSERT INTO "decisions" VALUES(23,'a80c4bb0a55e62b0de0443e01ca6b10d3461d1d874bc08c33fc67a38ebbf7fb1','2026-11-30T22:10:14.754725+00:00','collect:site','','cat','found as cat');
INSERT INTO "decisions" VALUES(24,'613d45ebf094de08a1fe289285f1012a6e883e90086a424a178d844b7aba1dcc','2026-11-30T22:10:14.754865+00:00','collect:site','','dog','found as dog');
INSERT INTO "decisions" VALUES(25,'613d45ebf094de08a1fe289285f1012a6e883e90086a424a178d844b7aba1dcc','2026-11-30T22:10:14.755061+00:00','curate:rule','dog','reject:blurry','a rule');
INSERT INTO "decisions" VALUES(26,'555bcc08cf941ac688b22c54b9303f28561c274bdc0b2647f1b31925f6821f33','2026-11-30T22:10:14.768608+00:00','person:ana','cat','dog','a remark, with a comma');
INSERT INTO "decisions" VALUES(27,'c773e70ba5e3793bdc6767f4794cdc71161b724ce1322ef0d15daa0ef705ebd3','2026-11-30T22:10:14.791568+00:00','person:ana','dog','reject:drawing','curate label');
INSERT INTO "decisions" VALUES(28,'cd1094f0eaea3b3069d8f2ce44eb6c3a711adeae18f01f802f1a48b15fb0fda3','2026-11-30T22:10:14.815589+00:00','person:ana','cat','reject:off-topic','curate label');
INSERT INTO "decisions" VALUES(29,'cd1094f0eaea3b3069d8f2ce44eb6c3a711adeae18f01f802f1a48b15fb0fda3','2026-11-30T22:10:14.836302+00:00','person:ana','reject:off-topic','restore','curate label');
INSERT INTO "decisions" VALUES(30,'66053dc1b3e6c36d47315289817e3accadbc8941d5880fa75eacbfff0d835c4d','2026-11-30T22:10:14.859616+00:00','person:ana','dog','restore','curate label');
INSERT INTO "decisions" VALUES(31,'804949ed9ad48097c7900ee885f975c518e5fd791caf345eb9d8842493d313ec','2026-11-30T22:10:14.879551+00:00','person:ana','dog','reject:blurry','curate label');
INSERT INTO "decisions" VALUES(32,'804949ed9ad48097c7900ee885f975c518e5fd791caf345eb9d8842493d313ec','2026-11-30T22:10:14.898774+00:00','person:ana','reject:blurry','dog','undo of 2026-11-30T22:10:14.879551+00:00');
INSERT INTO "decisions" VALUES(33,'555bcc08cf941ac688b22c54b9303f28561c274bdc0b2647f1b31925f6821f33','2026-11-30T22:10:14.904918+00:00','person:luis','dog','cat','curate label');
INSERT INTO "decisions" VALUES(34,'09d4dbc6ac64d6a994f791cdb0b671b08975e848c51cda24ad36da412f1307cd','2026-11-30T22:10:14.919484+00:00','person:luis','cat','cat','curate label');
INSERT INTO "decisions" VALUES(35,'44fb9c5e4ca0bd1c552611414956acd43e2bf6e653cae7a22ea2438ea5b607ca','2026-11-30T22:10:14.924856+00:00','person:luis','cat','restore','curate label');
INSERT INTO "decisions" VALUES(36,'44fb9c5e4ca0bd1c552611414956acd43e2bf6e653cae7a22ea2438ea5b607ca','2026-11-30T22:10:14.943558+00:00','person:luis','cat','reject:undo','undo of 2026-11-30T22:10:14.924856+00:00');
INSERT INTO "decisions" VALUES(37,'44fb9c5e4ca0bd1c552611414956acd43e2bf6e653cae7a22ea2438ea5b607ca','2026-11-30T22:10:14.943651+00:00','person:luis','reject:undo','cat','undo of 2026-11-30T22:10:14.924856+00:00');
INSERT INTO "decisions" VALUES(38,'02b02dd9901e2807642d32b32909c3813734c31196c4b75706d15bde49211a86','2026-11-30T22:10:15.008795+00:00','rename:ana','dog','puppy','renamed: dog|puppy');
INSERT INTO "decisions" VALUES(39,'1675333165d62357da15e699a6f5b8677d55c3be1a073766cf8e9fded8aefc76','2026-11-30T22:10:15.008939+00:00','rename:ana','dog','puppy','renamed: dog|puppy');
INSERT INTO "decisions" VALUES(40,'555bcc08cf941ac688b22c54b9303f28561c274bdc0b2647f1b31925f6821f33','2026-11-30T22:10:15.008997+00:00','rename:ana','cat','cat','renamed: dog|puppy');
INSERT INTO "decisions" VALUES(41,'613d45ebf094de08a1fe289285f1012a6e883e90086a424a178d844b7aba1dcc','2026-11-30T22:10:15.009033+00:00','rename:ana','reject:blurry','puppy','renamed: dog|puppy');
INSERT INTO "decisions" VALUES(42,'613d45ebf094de08a1fe289285f1012a6e883e90086a424a178d844b7aba1dcc','2026-11-30T22:10:15.009061+00:00','rename:ana','puppy','reject:blurry','renamed: dog|puppy');
INSERT INTO "decisions" VALUES(43,'66053dc1b3e6c36d47315289817e3accadbc8941d5880fa75eacbfff0d835c4d','2026-11-30T22:10:15.009095+00:00','rename:ana','dog','puppy','renamed: dog|puppy');
INSERT INTO "decisions" VALUES(44,'73d953daa735df32d5e8756296beb082d655185ee93b8936e46945886ea7b26b','2026-11-30T22:10:15.009125+00:00','rename:ana','dog','puppy','renamed: dog|puppy');
INSERT INTO "decisions" VALUES(45,'759825d38448c4013551d49216539213675cc433c4a1081c9b31c50c97af5428','2026-11-30T22:10:15.009155+00:00','rename:ana','dog','puppy','renamed: dog|puppy');
INSERT INTO "decisions" VALUES(46,'804949ed9ad48097c7900ee885f975c518e5fd791caf345eb9d8842493d313ec','2026-11-30T22:10:15.009187+00:00','rename:ana','dog','puppy','renamed: dog|puppy');
INSERT INTO "decisions" VALUES(47,'861f5c081f615ea9b298f0e724e120e716391cb7ea8cf12c14fa29b946e7e0bd','2026-11-30T22:10:15.009215+00:00','rename:ana','dog','puppy','renamed: dog|puppy');
INSERT INTO "decisions" VALUES(48,'b83f4de6d923d771edbbd17fbc7ac2e24523a208527ae5075db5665424708f40','2026-11-30T22:10:15.009248+00:00','rename:ana','dog','puppy','renamed: dog|puppy');
INSERT INTO "decisions" VALUES(49,'c0e32d07920a5f647e2390ba0f5dc241a11eeb1b1cc48d115c94e3cb353b12e7','2026-11-30T22:10:15.009304+00:00','rename:ana','dog','puppy','renamed: dog|puppy');
INSERT INTO "decisions" VALUES(50,'c773e70ba5e3793bdc6767f4794cdc71161b724ce1322ef0d15daa0ef705ebd3','2026-11-30T22:10:15.009418+00:00','rename:ana','reject:drawing','puppy','renamed: dog|puppy');
INSERT INTO "decisions" VALUES(51,'c773e70ba5e3793bdc6767f4794cdc71161b724ce1322ef0d15daa0ef705ebd3','2026-11-30T22:10:15.009446+00:00','rename:ana','puppy','reject:drawing','renamed: dog|puppy');
INSERT INTO "decisions" VALUES(52,'c839b52bfd73726b6a5231fd81effc9de9b4d4851cbc76acbda96e291e3a8e73','2026-11-30T22:10:15.009477+00:00','rename:ana','dog','puppy','renamed: dog|puppy');
INSERT INTO "decisions" VALUES(53,'b83f4de6d923d771edbbd17fbc7ac2e24523a208527ae5075db5665424708f40','2026-11-30T22:10:15.023672+00:00','person:ana','puppy','cat','curate label');
INSERT INTO "decisions" VALUES(54,'1675333165d62357da15e699a6f5b8677d55c3be1a073766cf8e9fded8aefc76','2026-11-30T22:10:15.076468+00:00','person:ana','puppy','cat','curate label');
CREATE TABLE facts (               
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
INSERT INTO "facts" VALUES('after-the-last-version','2026-11-30T22:10:15.056799+00:00');
INSERT INTO "facts" VALUES('check-limits','{"blurry": 0.3}');
INSERT INTO "facts" VALUES('conflict-told:09d4dbc6ac64d6a994f791cdb0b671b08975e848c51cda24ad36da412f1307cd','7
cat	dog');
INSERT INTO "facts" VALUES('dedup-threshold','8');
INSERT INTO "facts" VALUES('suggested-after','3');
INSERT INTO "facts" VALUES('suggestion-answered:b83f4de6d923d771edbbd17fbc7ac2e24523a208527ae5075db5665424708f40','label-error
cat
puppy');
CREATE TABLE findings (            
        finding_id INTEGER PRIMARY KEY,
        candidate_id INTEGER NOT NULL REFERENCES candidates,
        source TEXT NOT NULL,
        category TEXT NOT NULL,        
        query TEXT NOT NULL,
        rank INTEGER NOT NULL,
        page_url TEXT NOT NULL,
        author TEXT NOT NULL,
        license TEXT NOT NULL,         
        license_found TEXT NOT NULL,   
        width INTEGER,                 
        height INTEGER,
        thumbnail INTEGER NOT NULL,    
        original TEXT NOT NULL,        
        found TEXT NOT NULL,
        UNIQUE (candidate_id, source, category, query, page_url)
    ) STRICT;
INSERT INTO "findings" VALUES(1,1,'site','cat','',0,'','A','CC0-1.0','',NULL,NULL,0,'','2026-11-30T22:10:14.747765+00:00');
INSERT INTO "findings" VALUES(2,2,'site','puppy','',0,'','A','CC0-1.0','',NULL,NULL,0,'','2026-11-30T22:10:14.748191+00:00');
INSERT INTO "findings" VALUES(3,3,'site','cat','',0,'','A','CC0-1.0','',NULL,NULL,0,'','2026-11-30T22:10:14.748348+00:00');
INSERT INTO "findings" VALUES(4,4,'site','puppy','',0,'','A','CC0-1.0','',NULL,NULL,0,'','2026-11-30T22:10:14.748466+00:00');
INSERT INTO "findings" VALUES(5,5,'site','cat','',0,'','A','CC0-1.0','',NULL,NULL,0,'','2026-11-30T22:10:14.748579+00:00');
INSERT INTO "findings" VALUES(6,6,'site','puppy','',0,'','A','CC0-1.0','',NULL,NULL,0,'','2026-11-30T22:10:14.748685+00:00');
INSERT INTO "findings" VALUES(7,7,'site','cat','',0,'','A','CC0-1.0','',NULL,NULL,0,'','2026-11-30T22:10:14.748787+00:00');
INSERT INTO "findings" VALUES(8,8,'site','puppy','',0,'','A','CC0-1.0','',NULL,NULL,0,'','2026-11-30T22:10:14.748898+00:00');
INSERT INTO "findings" VALUES(9,9,'site','cat','',0,'','A','CC0-1.0','',NULL,NULL,0,'','2026-11-30T22:10:14.749012+00:00');
INSERT INTO "findings" VALUES(10,10,'site','puppy','',0,'','A','CC0-1.0','',NULL,NULL,0,'','2026-11-30T22:10:14.749114+00:00');
INSERT INTO "findings" VALUES(11,11,'site','cat','',0,'','A','CC0-1.0','',NULL,NULL,0,'','2026-11-30T22:10:14.749213+00:00');
INSERT INTO "findings" VALUES(12,12,'site','puppy','',0,'','A','CC0-1.0','',NULL,NULL,0,'','2026-11-30T22:10:14.749316+00:00');
INSERT INTO "findings" VALUES(13,13,'site','cat','',0,'','A','CC0-1.0','',NULL,NULL,0,'','2026-11-30T22:10:14.749411+00:00');
INSERT INTO "findings" VALUES(14,14,'site','puppy','',0,'','A','CC0-1.0','',NULL,NULL,0,'','2026-11-30T22:10:14.749506+00:00');
INSERT INTO "findings" VALUES(15,15,'site','cat','',0,'','A','CC0-1.0','',NULL,NULL,0,'','2026-11-30T22:10:14.749599+00:00');
INSERT INTO "findings" VALUES(16,16,'site','puppy','',0,'','A','CC0-1.0','',NULL,NULL,0,'','2026-11-30T22:10:14.749690+00:00');
INSERT INTO "findings" VALUES(17,17,'site','cat','',0,'','A','CC0-1.0','',NULL,NULL,0,'','2026-11-30T22:10:14.749783+00:00');
INSERT INTO "findings" VALUES(18,18,'site','puppy','',0,'','A','CC0-1.0','',NULL,NULL,0,'','2026-11-30T22:10:14.749877+00:00');
INSERT INTO "findings" VALUES(19,19,'site','cat','',0,'','A','CC0-1.0','',NULL,NULL,0,'','2026-11-30T22:10:14.749976+00:00');
INSERT INTO "findings" VALUES(20,20,'site','puppy','',0,'','A','CC0-1.0','',NULL,NULL,0,'','2026-11-30T22:10:14.750070+00:00');
INSERT INTO "findings" VALUES(21,21,'site','cat','',0,'','A','CC0-1.0','',NULL,NULL,0,'','2026-11-30T22:10:14.750162+00:00');
INSERT INTO "findings" VALUES(22,22,'site','puppy','',0,'','A','CC0-1.0','',NULL,NULL,0,'','2026-11-30T22:10:14.750254+00:00');
INSERT INTO "findings" VALUES(23,23,'site','cat','',0,'','A','CC0-1.0','',NULL,NULL,0,'','2026-11-30T22:10:14.754575+00:00');
INSERT INTO "findings" VALUES(24,24,'site','puppy','',0,'','A','CC0-1.0','',NULL,NULL,0,'','2026-11-30T22:10:14.754780+00:00');
CREATE TABLE frozen_groups (       
        version TEXT NOT NULL,
        image_id TEXT NOT NULL REFERENCES images,
        group_id TEXT NOT NULL,        
        kept INTEGER NOT NULL,
        component TEXT NOT NULL,       
        PRIMARY KEY (version, image_id)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "frozen_groups" VALUES('v001','44fb9c5e4ca0bd1c552611414956acd43e2bf6e653cae7a22ea2438ea5b607ca','719d8203b9174f104121ff8bcea3856942cd3464ffbbad76c2b663aa9cb4d2c4',0,'44fb9c5e4ca0bd1c552611414956acd43e2bf6e653cae7a22ea2438ea5b607ca');
INSERT INTO "frozen_groups" VALUES('v001','66053dc1b3e6c36d47315289817e3accadbc8941d5880fa75eacbfff0d835c4d','719d8203b9174f104121ff8bcea3856942cd3464ffbbad76c2b663aa9cb4d2c4',0,'44fb9c5e4ca0bd1c552611414956acd43e2bf6e653cae7a22ea2438ea5b607ca');
INSERT INTO "frozen_groups" VALUES('v001','719d8203b9174f104121ff8bcea3856942cd3464ffbbad76c2b663aa9cb4d2c4','719d8203b9174f104121ff8bcea3856942cd3464ffbbad76c2b663aa9cb4d2c4',1,'44fb9c5e4ca0bd1c552611414956acd43e2bf6e653cae7a22ea2438ea5b607ca');
INSERT INTO "frozen_groups" VALUES('v002','44fb9c5e4ca0bd1c552611414956acd43e2bf6e653cae7a22ea2438ea5b607ca','719d8203b9174f104121ff8bcea3856942cd3464ffbbad76c2b663aa9cb4d2c4',0,'44fb9c5e4ca0bd1c552611414956acd43e2bf6e653cae7a22ea2438ea5b607ca');
INSERT INTO "frozen_groups" VALUES('v002','66053dc1b3e6c36d47315289817e3accadbc8941d5880fa75eacbfff0d835c4d','719d8203b9174f104121ff8bcea3856942cd3464ffbbad76c2b663aa9cb4d2c4',0,'44fb9c5e4ca0bd1c552611414956acd43e2bf6e653cae7a22ea2438ea5b607ca');
INSERT INTO "frozen_groups" VALUES('v002','719d8203b9174f104121ff8bcea3856942cd3464ffbbad76c2b663aa9cb4d2c4','719d8203b9174f104121ff8bcea3856942cd3464ffbbad76c2b663aa9cb4d2c4',1,'44fb9c5e4ca0bd1c552611414956acd43e2bf6e653cae7a22ea2438ea5b607ca');
CREATE TABLE groups (              
        image_id TEXT PRIMARY KEY REFERENCES images,
        group_id TEXT NOT NULL,
        kept INTEGER NOT NULL,
        reason TEXT NOT NULL,          
        distance REAL NOT NULL
    ) STRICT;
INSERT INTO "groups" VALUES('719d8203b9174f104121ff8bcea3856942cd3464ffbbad76c2b663aa9cb4d2c4','719d8203b9174f104121ff8bcea3856942cd3464ffbbad76c2b663aa9cb4d2c4',1,'test',0.0);
INSERT INTO "groups" VALUES('66053dc1b3e6c36d47315289817e3accadbc8941d5880fa75eacbfff0d835c4d','719d8203b9174f104121ff8bcea3856942cd3464ffbbad76c2b663aa9cb4d2c4',0,'test',0.0);
INSERT INTO "groups" VALUES('44fb9c5e4ca0bd1c552611414956acd43e2bf6e653cae7a22ea2438ea5b607ca','719d8203b9174f104121ff8bcea3856942cd3464ffbbad76c2b663aa9cb4d2c4',0,'test',0.0);
CREATE TABLE images (              
        image_id TEXT PRIMARY KEY,     
        path TEXT NOT NULL,            
        format TEXT NOT NULL,          
        width INTEGER NOT NULL,        
        height INTEGER NOT NULL,
        mode TEXT NOT NULL,            
        bytes INTEGER NOT NULL,
        phash TEXT NOT NULL,           
        added TEXT NOT NULL,           
        label TEXT NOT NULL DEFAULT '',        
        rejected TEXT NOT NULL DEFAULT '',     
        reviewed INTEGER NOT NULL DEFAULT 0,   
        keep INTEGER NOT NULL DEFAULT 0        
    ) STRICT;
INSERT INTO "images" VALUES('719d8203b9174f104121ff8bcea3856942cd3464ffbbad76c2b663aa9cb4d2c4','data/images/71/719d8203b9174f104121ff8bcea3856942cd3464ffbbad76c2b663aa9cb4d2c4.png','PNG',60,40,'RGB',9,'719d8203b9174f10','2026-11-30T22:10:14.747859+00:00','cat','',0,0);
INSERT INTO "images" VALUES('66053dc1b3e6c36d47315289817e3accadbc8941d5880fa75eacbfff0d835c4d','data/images/66/66053dc1b3e6c36d47315289817e3accadbc8941d5880fa75eacbfff0d835c4d.png','PNG',60,40,'RGB',9,'66053dc1b3e6c36d','2026-11-30T22:10:14.748222+00:00','puppy','',1,1);
INSERT INTO "images" VALUES('44fb9c5e4ca0bd1c552611414956acd43e2bf6e653cae7a22ea2438ea5b607ca','data/images/44/44fb9c5e4ca0bd1c552611414956acd43e2bf6e653cae7a22ea2438ea5b607ca.png','PNG',60,40,'RGB',9,'44fb9c5e4ca0bd1c','2026-11-30T22:10:14.748369+00:00','cat','',0,0);
INSERT INTO "images" VALUES('861f5c081f615ea9b298f0e724e120e716391cb7ea8cf12c14fa29b946e7e0bd','data/images/86/861f5c081f615ea9b298f0e724e120e716391cb7ea8cf12c14fa29b946e7e0bd.png','PNG',60,40,'RGB',9,'861f5c081f615ea9','2026-11-30T22:10:14.748486+00:00','puppy','',0,0);
INSERT INTO "images" VALUES('555bcc08cf941ac688b22c54b9303f28561c274bdc0b2647f1b31925f6821f33','data/images/55/555bcc08cf941ac688b22c54b9303f28561c274bdc0b2647f1b31925f6821f33.png','PNG',60,40,'RGB',9,'555bcc08cf941ac6','2026-11-30T22:10:14.748598+00:00','cat','',1,0);
INSERT INTO "images" VALUES('c773e70ba5e3793bdc6767f4794cdc71161b724ce1322ef0d15daa0ef705ebd3','data/images/c7/c773e70ba5e3793bdc6767f4794cdc71161b724ce1322ef0d15daa0ef705ebd3.png','PNG',60,40,'RGB',9,'c773e70ba5e3793b','2026-11-30T22:10:14.748703+00:00','puppy','drawing',1,0);
INSERT INTO "images" VALUES('cd1094f0eaea3b3069d8f2ce44eb6c3a711adeae18f01f802f1a48b15fb0fda3','data/images/cd/cd1094f0eaea3b3069d8f2ce44eb6c3a711adeae18f01f802f1a48b15fb0fda3.png','PNG',60,40,'RGB',9,'cd1094f0eaea3b30','2026-11-30T22:10:14.748805+00:00','cat','',1,1);
INSERT INTO "images" VALUES('804949ed9ad48097c7900ee885f975c518e5fd791caf345eb9d8842493d313ec','data/images/80/804949ed9ad48097c7900ee885f975c518e5fd791caf345eb9d8842493d313ec.png','PNG',60,40,'RGB',9,'804949ed9ad48097','2026-11-30T22:10:14.748920+00:00','puppy','',0,0);
INSERT INTO "images" VALUES('09d4dbc6ac64d6a994f791cdb0b671b08975e848c51cda24ad36da412f1307cd','data/images/09/09d4dbc6ac64d6a994f791cdb0b671b08975e848c51cda24ad36da412f1307cd.png','PNG',60,40,'RGB',9,'09d4dbc6ac64d6a9','2026-11-30T22:10:14.749030+00:00','cat','',1,0);
INSERT INTO "images" VALUES('b83f4de6d923d771edbbd17fbc7ac2e24523a208527ae5075db5665424708f40','data/images/b8/b83f4de6d923d771edbbd17fbc7ac2e24523a208527ae5075db5665424708f40.png','PNG',60,40,'RGB',9,'b83f4de6d923d771','2026-11-30T22:10:14.749132+00:00','cat','',1,0);
INSERT INTO "images" VALUES('7c725eacc6f754d8a1775cad07fbab8caca730bc0541fcea52c8a07c5768ca43','data/images/7c/7c725eacc6f754d8a1775cad07fbab8caca730bc0541fcea52c8a07c5768ca43.png','PNG',60,40,'RGB',9,'7c725eacc6f754d8','2026-11-30T22:10:14.749231+00:00','cat','',0,0);
INSERT INTO "images" VALUES('1675333165d62357da15e699a6f5b8677d55c3be1a073766cf8e9fded8aefc76','data/images/16/1675333165d62357da15e699a6f5b8677d55c3be1a073766cf8e9fded8aefc76.png','PNG',60,40,'RGB',9,'1675333165d62357','2026-11-30T22:10:14.749333+00:00','cat','',1,0);
INSERT INTO "images" VALUES('3d917325a05ae31c5ae02a0de8d0aa599604b63b9db26b8a81276e7a12051ff9','data/images/3d/3d917325a05ae31c5ae02a0de8d0aa599604b63b9db26b8a81276e7a12051ff9.png','PNG',60,40,'RGB',9,'3d917325a05ae31c','2026-11-30T22:10:14.749428+00:00','cat','',0,0);
INSERT INTO "images" VALUES('c839b52bfd73726b6a5231fd81effc9de9b4d4851cbc76acbda96e291e3a8e73','data/images/c8/c839b52bfd73726b6a5231fd81effc9de9b4d4851cbc76acbda96e291e3a8e73.png','PNG',60,40,'RGB',9,'c839b52bfd73726b','2026-11-30T22:10:14.749523+00:00','puppy','',0,0);
INSERT INTO "images" VALUES('bae3b52a911bbf639ea1347f193e4b8b4430b644c9a54d275b4be9326d1f315c','data/images/ba/bae3b52a911bbf639ea1347f193e4b8b4430b644c9a54d275b4be9326d1f315c.png','PNG',60,40,'RGB',9,'bae3b52a911bbf63','2026-11-30T22:10:14.749615+00:00','cat','',0,0);
INSERT INTO "images" VALUES('02b02dd9901e2807642d32b32909c3813734c31196c4b75706d15bde49211a86','data/images/02/02b02dd9901e2807642d32b32909c3813734c31196c4b75706d15bde49211a86.png','PNG',60,40,'RGB',9,'02b02dd9901e2807','2026-11-30T22:10:14.749706+00:00','puppy','',0,0);
INSERT INTO "images" VALUES('1188d3631cce46fcdb21083539e62e2fda7e9595d7a33cb7b00b3d747d3cc087','data/images/11/1188d3631cce46fcdb21083539e62e2fda7e9595d7a33cb7b00b3d747d3cc087.png','PNG',60,40,'RGB',9,'1188d3631cce46fc','2026-11-30T22:10:14.749800+00:00','cat','',0,0);
INSERT INTO "images" VALUES('c0e32d07920a5f647e2390ba0f5dc241a11eeb1b1cc48d115c94e3cb353b12e7','data/images/c0/c0e32d07920a5f647e2390ba0f5dc241a11eeb1b1cc48d115c94e3cb353b12e7.png','PNG',60,40,'RGB',9,'c0e32d07920a5f64','2026-11-30T22:10:14.749894+00:00','puppy','',0,0);
INSERT INTO "images" VALUES('7b59d0f2092546ce7fe358308bca415241818eaae75ee179d93e8c1af52af4ff','data/images/7b/7b59d0f2092546ce7fe358308bca415241818eaae75ee179d93e8c1af52af4ff.png','PNG',60,40,'RGB',9,'7b59d0f2092546ce','2026-11-30T22:10:14.749993+00:00','cat','',0,0);
INSERT INTO "images" VALUES('759825d38448c4013551d49216539213675cc433c4a1081c9b31c50c97af5428','data/images/75/759825d38448c4013551d49216539213675cc433c4a1081c9b31c50c97af5428.png','PNG',60,40,'RGB',9,'759825d38448c401','2026-11-30T22:10:14.750087+00:00','puppy','',0,0);
INSERT INTO "images" VALUES('6e7a3c5c1a4af44a40f3656dd6c3ad94083ca04d610a24bdb8a5ec3d3f2ff1b3','data/images/6e/6e7a3c5c1a4af44a40f3656dd6c3ad94083ca04d610a24bdb8a5ec3d3f2ff1b3.png','PNG',60,40,'RGB',9,'6e7a3c5c1a4af44a','2026-11-30T22:10:14.750178+00:00','cat','',0,0);
INSERT INTO "images" VALUES('73d953daa735df32d5e8756296beb082d655185ee93b8936e46945886ea7b26b','data/images/73/73d953daa735df32d5e8756296beb082d655185ee93b8936e46945886ea7b26b.png','PNG',60,40,'RGB',9,'73d953daa735df32','2026-11-30T22:10:14.750270+00:00','puppy','',0,0);
INSERT INTO "images" VALUES('a80c4bb0a55e62b0de0443e01ca6b10d3461d1d874bc08c33fc67a38ebbf7fb1','data/images/a8/a80c4bb0a55e62b0de0443e01ca6b10d3461d1d874bc08c33fc67a38ebbf7fb1.png','PNG',60,40,'RGB',9,'a80c4bb0a55e62b0','2026-11-30T22:10:14.754624+00:00','cat','',0,0);
INSERT INTO "images" VALUES('613d45ebf094de08a1fe289285f1012a6e883e90086a424a178d844b7aba1dcc','data/images/61/613d45ebf094de08a1fe289285f1012a6e883e90086a424a178d844b7aba1dcc.png','PNG',60,40,'RGB',9,'613d45ebf094de08','2026-11-30T22:10:14.754803+00:00','puppy','blurry',0,0);
CREATE TABLE quality (             
        image_id TEXT NOT NULL REFERENCES images,
        measure TEXT NOT NULL,
        value REAL NOT NULL,
        PRIMARY KEY (image_id, measure)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "quality" VALUES('719d8203b9174f104121ff8bcea3856942cd3464ffbbad76c2b663aa9cb4d2c4','entropy',0.5);
CREATE TABLE searched (            
        digest BLOB PRIMARY KEY,       
        looks BLOB NOT NULL            
    ) STRICT, WITHOUT ROWID;
INSERT INTO "searched" VALUES(X'01',X'02');
CREATE TABLE signatures (          
        image_id TEXT PRIMARY KEY REFERENCES images,
        version INTEGER NOT NULL,
        signature BLOB NOT NULL
    ) STRICT;
INSERT INTO "signatures" VALUES('719d8203b9174f104121ff8bcea3856942cd3464ffbbad76c2b663aa9cb4d2c4',1,X'78');
CREATE TABLE suggestions (         
        image_id TEXT PRIMARY KEY REFERENCES images,
        label TEXT NOT NULL,           
        suggested TEXT NOT NULL,
        score REAL NOT NULL,           
        kind TEXT NOT NULL,            
        neighbours TEXT NOT NULL       
    ) STRICT;
INSERT INTO "suggestions" VALUES('7c725eacc6f754d8a1775cad07fbab8caca730bc0541fcea52c8a07c5768ca43','cat','puppy',0.9,'label-error','1675333165d62357da15e699a6f5b8677d55c3be1a073766cf8e9fded8aefc76 3d917325a05ae31c5ae02a0de8d0aa599604b63b9db26b8a81276e7a12051ff9');
CREATE TABLE ties (                
        a BLOB NOT NULL,
        b BLOB NOT NULL,
        reason TEXT NOT NULL,          
        distance REAL NOT NULL,
        PRIMARY KEY (a, b)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "ties" VALUES(X'01',X'02','',0.0);
CREATE INDEX candidates_state ON candidates (state, reason);
CREATE INDEX candidates_image ON candidates (image_id);
CREATE INDEX findings_category ON findings (category);
CREATE INDEX attempts_candidate ON attempts (candidate_id);
CREATE INDEX decisions_image ON decisions (image_id);
CREATE INDEX groups_group ON groups (group_id);
COMMIT;
PRAGMA user_version = 4;
